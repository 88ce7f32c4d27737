"""A resolved compose model: what each service would be as a container, and what is written on it all.

Every service is turned into the same typed configuration that a container of the API has, so one policy
holds for both. Keys that have no place there are free, or an administrator's, or nobody's.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from compute.backends.types import LABEL_PROJECT
from compute.errors import InvalidInput, PolicyDenied
from compute.tell import tell
from dockerapp.engine.compose_text import Document, Problem
from dockerapp.engine.compose_tool import NOWHERE
from dockerapp.engine.spec import config_check
from dockerapp.labels import LABEL_STACK

REPLICAS_MAX = 100
SERVICES_MAX = 50
_RESERVED = ("libgo.", "com.docker.compose.")

# Of a service: keys that reach nothing but its own container.
_FREE = frozenset(
    "attach container_name cpu_count cpu_percent cpu_shares cpus cpuset configs deploy depends_on "
    "dns dns_opt dns_search domainname expose extra_hosts healthcheck init labels links mac_address "
    "mem_limit mem_reservation mem_swappiness networks pids_limit platform profiles "
    "pull_policy scale secrets shm_size stdin_open stop_grace_period stop_signal tty".split()
)
# Keys that become keys of a container's configuration, which has a policy of its own.
_TYPED = frozenset(
    "image command entrypoint environment volumes ports network_mode restart working_dir user hostname "
    "cap_add cap_drop privileged read_only tmpfs devices gpus logging pid ipc uts userns_mode cgroup "
    "volumes_from device_cgroup_rules security_opt runtime cgroup_parent group_add sysctls ulimits "
    "oom_score_adj oom_kill_disable memswap_limit pids_limit".split()
)
_SAME = (
    "device_cgroup_rules",
    "security_opt",
    "runtime",
    "cgroup_parent",
    "sysctls",
    "ulimits",
    "oom_score_adj",
    "oom_kill_disable",
)
# Keys that nobody may use here.
_NEVER = frozenset("build develop provider credential_spec use_api_socket models label_file env_file".split())
_DEPLOY_FREE = frozenset("replicas mode resources restart_policy labels endpoint_mode placement".split()) | {
    "update_config",
    "rollback_config",
}
# A broken rule of the container's policy: the keys of the file that may have broken it, and those of
# the configuration.
_RULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "host_network": (("network_mode",), ("network_mode",)),
    "host_pid": (("pid",), ("pid_mode",)),
    "host_ipc": (("ipc",), ("ipc_mode",)),
    "host_uts": (("uts",), ("uts_mode",)),
    "host_user": (("userns_mode",), ("userns_mode",)),
    "host_cgroup": (("cgroup",), ("cgroupns_mode",)),
    "host_path": (("volumes",), ("volumes",)),
    "devices": (
        ("devices", "gpus", "device_cgroup_rules", "deploy"),
        ("devices", "gpus", "device_cgroup_rules"),
    ),
    "added_capabilities": (("cap_add",), ("capabilities",)),
    "security_options": (("security_opt",), ("security_opt",)),
    "oom": (("oom_score_adj", "oom_kill_disable"), ("oom_score_adj", "oom_kill_disable")),
    "no_limit": (("memswap_limit", "pids_limit", "deploy"), ("memory_swap", "pids_limit")),
    "log_driver": (("logging",), ("log_driver",)),
}
_CONFIG_KEYS = {
    "env": "environment",
    "capabilities": "cap_add",
    "restart_policy": "restart",
    "log_driver": "logging",
    "log_options": "logging",
    "pid_mode": "pid",
    "ipc_mode": "ipc",
    "uts_mode": "uts",
    "cgroupns_mode": "cgroup",
    "memory_swap": "memswap_limit",
}
_SOCKET = re.compile(r"(?:docker|containerd|podman|libvirt)[\w-]*\.?-?sock")


@dataclass(frozen=True)
class Service:
    """What one service comes to. ``pull`` is missing, always or never; ``config`` is typed as the
    configuration of a container."""

    name: str
    image: str
    replicas: int
    cpu_cores: float
    memory_bytes: int
    pull: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Checked:
    """The outcome of a check. ``volumes`` and ``networks`` map the file's names to
    ``{"name", "external"}`` of the engine. ``model`` is what Compose will get, None when refused."""

    problems: tuple[Problem, ...]
    services: tuple[Service, ...] = ()
    volumes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    model: dict[str, Any] | None = None
    document: Document | None = None

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.level == "error"]

    def problem(self, reason: str, *path: str, rule: str = "") -> Problem:
        """A further problem, at its place in the file."""
        line = self.document.line(*path) if self.document else None
        service = path[1] if path[:1] == ("services",) and len(path) > 1 else ""
        return Problem(reason, line, service, rule)


def model_check(
    document: Document, model: dict[str, Any], env: Mapping[str, str], *, is_admin: bool
) -> Checked:
    """Everything that can be said without knowing the engine."""
    plain = _unescaped(model)
    services = plain.get("services") or {}
    problems = [*_top_problems(document, plain, is_admin=is_admin)]
    made = []
    for name, body in services.items():
        found = list(_service_problems(document, name, body, is_admin=is_admin))
        config, more = _config(document, name, body, plain, is_admin=is_admin)
        problems += [*found, *more]
        made.append(_service(name, body, config))
    return Checked(
        tuple(problems),
        tuple(made),
        things_named(plain.get("volumes")),
        things_named(plain.get("networks")),
        _inlined(model, env),
        document,
    )


def model_marked(
    model: Mapping[str, Any], stack_id: str, project_id: str, replicas: Mapping[str, int]
) -> dict[str, Any]:
    """The model as it goes to the engine: everything it makes says whose it is; images are there
    already, and nothing is taken from the environment.

    Volumes do not carry the stack: they may outlive it, and a later stack of that name finds them.
    """
    marked: dict[str, Any] = copy.deepcopy(dict(model))
    whose, stack = {LABEL_PROJECT: project_id}, {LABEL_STACK: stack_id}
    for name, body in marked.get("services", {}).items():
        body["labels"] = {**(body.get("labels") or {}), **whose, **stack}
        env = body.get("environment") or {}
        body["environment"] = {key: value for key, value in env.items() if value is not None}
        body.pop("pull_policy", None)
        if name in replicas:
            body.pop("scale", None)
            body["deploy"] = {**(body.get("deploy") or {}), "mode": "replicated", "replicas": replicas[name]}
    for kind, marks in (("networks", {**whose, **stack}), ("volumes", whose)):
        for name, body in (marked.get(kind) or {}).items():
            given = body or {}
            if not given.get("external"):
                marked[kind][name] = {**given, "labels": {**(given.get("labels") or {}), **marks}}
    return marked


def _inlined(model: dict[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Configs and secrets that name a variable get its value: later runs have no variables."""
    for kind in ("configs", "secrets"):
        for body in (model.get(kind) or {}).values():
            if body.get("environment"):
                body["content"] = env.get(body.pop("environment"), "").replace("$", "$$")
    return model


def _unescaped(value: Any) -> Any:
    """Compose doubles every “$” in what it resolves, so that it can be read again."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, dict):
        return {key: _unescaped(item) for key, item in value.items()}
    return [_unescaped(item) for item in value] if isinstance(value, list) else value


def things_named(given: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """By the file's names: what they are called on the engine, and whether they are made elsewhere."""
    return {
        key: {"name": str(body.get("name", key)), "external": bool(body.get("external"))}
        for key, body in (given or {}).items()
    }


# -- what is refused --------------------------------------------------------------------------


def _top_problems(document: Document, model: Mapping[str, Any], *, is_admin: bool) -> Iterator[Problem]:
    services = model.get("services") or {}
    if not services:
        yield Problem("the file has no services that would run", document.line("services"))
    if len(services) > SERVICES_MAX:
        yield Problem(f"the file has more than {SERVICES_MAX} services", document.line("services"))
    for kind in ("volumes", "networks"):
        for name, body in (model.get(kind) or {}).items():
            line = document.line(kind, name)
            yield from _labels_reserved(body.get("labels"), line, "")
            if not is_admin:
                yield from _driver_problems(kind, name, body, line)
    for kind in ("configs", "secrets"):
        for name, body in (model.get(kind) or {}).items():
            if body.get("external") or body.get("file"):
                reason = tell(f"“{name}” must have “content” or “environment”: other sources are not read")
                yield Problem(reason, document.line(kind, name), rule=f"compose_{kind}")


def _driver_problems(kind: str, name: str, body: Mapping[str, Any], line: int | None) -> Iterator[Problem]:
    noun = kind.removesuffix("s")
    if str(body.get("driver") or "") not in ("", "local" if noun == "volume" else "bridge"):
        yield _denied(
            f"{noun}_driver", tell(f"the driver “{str(body['driver'])[:60]}” of “{name}”"), line, ""
        )
    if body.get("driver_opts"):
        yield _denied(f"{noun}_driver_opts", tell(f"driver options of the {noun} “{name}”"), line, "")
    ipam = body.get("ipam") or {}
    if ipam.get("options") or ipam.get("driver") not in (None, "", "default"):
        yield _denied("network_ipam", tell(f"an address manager of its own for “{name}”"), line, "")


def _service_problems(
    document: Document, name: str, body: Mapping[str, Any], *, is_admin: bool
) -> Iterator[Problem]:
    for key, value in body.items():
        if key in _TYPED or key in _FREE or value in (None, "", [], {}, False):
            continue
        line = document.line("services", name, key)
        if key in _NEVER:
            reason = tell(f"“{key}” is not taken in a stack")
            rule = "engine_socket" if key == "use_api_socket" else f"compose_{key}"
            yield Problem(reason, line, name, rule)
        elif not is_admin:
            yield _denied(key, f"“{key}”", line, name)
    yield from _labels_reserved(body.get("labels"), document.line("services", name, "labels"), name)
    joined = body.get("networks") or {}
    if not is_admin and any((item or {}).get("driver_opts") for item in joined.values()):
        line = document.line("services", name, "networks")
        yield _denied("network_driver_opts", tell("driver options of a network"), line, name)
    for key in sorted(set(body.get("deploy") or {}) - _DEPLOY_FREE):
        yield Problem(f"“deploy.{key}” is not taken here", document.line("services", name, "deploy"), name)
    if not 0 <= _replicas(body) <= REPLICAS_MAX:
        line = document.line("services", name, "deploy", "replicas")
        yield Problem(f"a service runs at most {REPLICAS_MAX} times", line, name)


def _labels_reserved(labels: Any, line: int | None, service: str) -> Iterator[Problem]:
    for key in labels or {}:
        if str(key).startswith(_RESERVED) and not str(key).startswith("libgo.test"):
            yield Problem(f"the label “{str(key)[:80]}” is set by LibGo or Compose", line, service)


def _denied(rule: str, what: str, line: int | None, service: str) -> Problem:
    return Problem(
        f"only administrators may ask for {what}: it may reach past the project", line, service, rule
    )


# -- a service as a container -----------------------------------------------------------------


def _config(
    document: Document, name: str, body: Mapping[str, Any], model: Mapping[str, Any], *, is_admin: bool
) -> tuple[dict[str, Any], list[Problem]]:
    """The typed configuration, and what its own check says of it."""
    given, problems = _given(document, name, body, model)
    if any(_SOCKET.search(item.partition(":")[0]) for item in given.get("volumes", [])) and not is_admin:
        line = document.line("services", name, "volumes")
        problems.append(_denied("engine_socket", tell("the socket of an engine"), line, name))
    while True:
        try:
            return config_check(given, allow_root_equivalent=is_admin), problems
        except PolicyDenied as error:
            rule = str(error.details.get("rule", ""))
            written, typed = _RULES.get(rule, ((rule,), (rule,)))
            key = next((key for key in written if body.get(key)), rule)
            problems.append(Problem(error.message, document.line("services", name, key), name, rule))
            # Without what broke it: what else is broken is told as well.
            if not [key for key in typed if given.pop(key, None) is not None]:
                return given, problems
        except InvalidInput as error:
            key = next(iter(error.details.get("fields", {})), "").removeprefix("config.").partition(".")[0]
            line = document.line("services", name, _CONFIG_KEYS.get(key, key))
            problems.append(Problem(error.message.removeprefix("config."), line, name))
            return given, problems


def _given(
    document: Document, name: str, body: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    volumes, tmpfs, problems = _mounts(document, name, body, model)
    env = {key: value for key, value in (body.get("environment") or {}).items() if value is not None}
    logging = body.get("logging") or {}
    given: dict[str, Any] = {
        "image": body.get("image", ""),
        "command": body.get("command"),
        "entrypoint": body.get("entrypoint"),
        "env": {str(key): str(value) for key, value in env.items()},
        "volumes": volumes,
        "ports": [text for port in body.get("ports") or [] for text in _ports(port)],
        "restart_policy": _restart(str(body.get("restart") or "")),
        "working_dir": body.get("working_dir"),
        "user": body.get("user"),
        "hostname": body.get("hostname"),
        "capabilities": {"add": body.get("cap_add") or [], "drop": body.get("cap_drop") or []},
        "privileged": body.get("privileged"),
        "read_only": body.get("read_only"),
        "tmpfs": tmpfs,
        "devices": [_device(item) for item in body.get("devices") or []],
        "gpus": "all" if body.get("gpus") or _reserved_devices(body) else None,
        "log_driver": logging.get("driver"),
        "log_options": logging.get("options"),
        **_shared(body, model.get("services") or {}),
        **_rare(body),
    }
    return {key: value for key, value in given.items() if value not in (None, [], {}, "")}, problems


def _shared(body: Mapping[str, Any], services: Mapping[str, Any]) -> dict[str, Any]:
    """Name spaces and volumes of others; what is shared with services of the same file is free."""
    keys = {"network_mode": "network_mode", "pid": "pid_mode", "ipc": "ipc_mode", "uts": "uts_mode"}
    keys |= {"userns_mode": "userns_mode", "cgroup": "cgroupns_mode"}
    found: dict[str, Any] = {}
    for key, ours in keys.items():
        mode = str(body.get(key) or "")
        if not (mode.startswith("service:") and mode.removeprefix("service:") in services):
            found[ours] = mode
    named = [str(item) for item in body.get("volumes_from") or []]
    found["volumes_from"] = [
        item.removeprefix("container:")
        for item in named
        if item.startswith("container:") or item.partition(":")[0] not in services
    ]
    return found


def _rare(body: Mapping[str, Any]) -> dict[str, Any]:
    """What has the same name and shape in both."""
    found: dict[str, Any] = {key: body.get(key) for key in _SAME}
    limits = ((body.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    pids = limits.get("pids", body.get("pids_limit"))
    if body.get("memswap_limit") is not None:
        found["memory_swap"] = int(body["memswap_limit"])
    if pids is not None:
        found["pids_limit"] = int(pids)
    found["group_add"] = [str(item) for item in body.get("group_add") or []]
    return found


def _mounts(
    document: Document, name: str, body: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[list[str], list[str], list[Problem]]:
    known = model.get("volumes") or {}
    volumes: list[str] = []
    tmpfs = [str(item).partition(":")[0] for item in body.get("tmpfs") or []]
    problems: list[Problem] = []
    line = document.line("services", name, "volumes")
    for item in body.get("volumes") or []:
        kind, source, target = item.get("type"), str(item.get("source") or ""), str(item.get("target"))
        mode = ":ro" if item.get("read_only") else ""
        if kind == "bind" and source.startswith("/libgo-stack/"):
            relative = source.removeprefix(NOWHERE).lstrip("/") or "."
            reason = tell(
                f"“{relative[:80]}” is a path beside the file, and a stack has no folder; use a volume"
            )
            problems.append(Problem(reason, line, name))
        elif kind == "bind":
            volumes.append(f"{source}:{target}{mode}")
        elif kind == "volume" and source:
            volumes.append(f"{(known.get(source) or {}).get('name', source)}:{target}{mode}")
        elif kind == "tmpfs":
            tmpfs.append(target)
        elif kind != "volume":
            problems.append(Problem(f"mounts of the type “{str(kind)[:20]}” are not taken", line, name))
    return volumes, tmpfs, problems


_PORT_MAX = 65535


def _ports(port: Mapping[str, Any]) -> list[str]:
    """As a container's configuration writes them: of a range each number that the engine may choose."""
    first, _, last = str(port.get("published") or "").partition("-")
    address = f"{port['host_ip']}:" if "." in str(port.get("host_ip") or "") else ""
    rest = f":{port.get('target')}/{port.get('protocol') or 'tcp'}"
    if not (first.isdigit() and last.isdigit()):
        return [f"{address}{first}{rest}"]
    # Compose fills variables in after the text was judged, so that a range may still be without end here.
    return [f"{address}{number}{rest}" for number in range(int(first), min(int(last), _PORT_MAX) + 1)]


def _restart(text: str) -> dict[str, Any] | None:
    policy, _, count = text.partition(":")
    if not policy:
        return None
    return {"policy": policy, **({"maximum_retry_count": int(count)} if count.isdigit() else {})}


def _device(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    return f"{item.get('source')}:{item.get('target')}:{item.get('permissions') or 'rwm'}"


def _reserved_devices(body: Mapping[str, Any]) -> Any:
    resources = (body.get("deploy") or {}).get("resources") or {}
    return (resources.get("reservations") or {}).get("devices")


def _replicas(body: Mapping[str, Any]) -> int:
    wanted = (body.get("deploy") or {}).get("replicas", body.get("scale"))
    return 1 if wanted is None else int(wanted)


def _service(name: str, body: Mapping[str, Any], config: Mapping[str, Any]) -> Service:
    limits = ((body.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    policy = str(body.get("pull_policy") or "missing")
    return Service(
        name=name,
        image=str(body.get("image") or ""),
        replicas=_replicas(body),
        cpu_cores=float(limits.get("cpus") or body.get("cpus") or 0),
        memory_bytes=int(limits.get("memory") or body.get("mem_limit") or 0),
        pull=policy if policy in ("always", "never") else "missing",
        config=config,
    )
