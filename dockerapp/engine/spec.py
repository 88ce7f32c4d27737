"""The ``config`` of a create request: checked against an allow-list, then turned into the engine's body.

Keys that are as good as root on the host are refused unless the caller may have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from compute.backends.checks import Check, config_checked
from compute.backends.types import (
    LABEL_INSTANCE,
    LABEL_OPERATION,
    LABEL_PROJECT,
    InstanceSpec,
    Resources,
)
from compute.errors import InvalidInput, PolicyDenied

_REFERENCE = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_VOLUME = re.compile(r"([a-zA-Z0-9][a-zA-Z0-9_.-]*):(/[^:]*)(?::(ro|rw))?")
_BIND = re.compile(r"(/[^:]*):(/[^:]*)(?::(ro|rw))?")
_PORT = re.compile(r"(?:(?:(\d{1,3}(?:\.\d{1,3}){3}):)?(\d{0,5}):)?(\d{1,5})(?:/(tcp|udp|sctp))?")
_DEVICE = re.compile(r"(/dev/[^:]+)(?::(/[^:]+))?(?::([rwm]+))?")
_ENV_NAME = re.compile(r"[^=\x00\s]{1,256}")
_NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_CAPABILITY = re.compile(r"(?:CAP_)?[A-Z_]{2,40}|ALL")
_RESTART = ("no", "always", "unless-stopped", "on-failure")
_PULL = ("missing", "always", "never")
_LOG_DRIVERS = ("json-file", "local", "journald", "syslog", "none")
_HEALTH_WORDS = ("CMD", "CMD-SHELL", "NONE")
_LIST_MAX = 256


def config_check(config: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
    """Every key known and well formed, defaults filled in. Raises ``InvalidInput`` keyed
    ``config.<key>`` and ``PolicyDenied`` naming the rule."""
    checked = config_checked(config, _CHECKS)
    if not checked.get("image"):
        raise InvalidInput.field("config.image", "is required, such as “nginx:1.27”.")
    checked.setdefault("pull", "missing")
    if not allow_root_equivalent:
        _policy(checked)
    return checked


def create_body(spec: InstanceSpec) -> dict[str, Any]:
    """The body of ``POST /containers/create`` (API 1.41)."""
    config = spec.config
    labels = {
        **spec.labels,
        LABEL_INSTANCE: spec.instance_id,
        LABEL_OPERATION: spec.operation_id,
        LABEL_PROJECT: spec.project_id,
    }
    body: dict[str, Any] = {
        "Image": config["image"],
        "Cmd": config.get("command") or None,
        "Entrypoint": config.get("entrypoint") or None,
        "Env": [f"{key}={value}" for key, value in (config.get("env") or {}).items()],
        "WorkingDir": config.get("working_dir", ""),
        "User": config.get("user", ""),
        "Hostname": config.get("hostname", ""),
        "Labels": labels,
        "Healthcheck": _health_check(config.get("health_check")),
        "ExposedPorts": {port["container"]: {} for port in config.get("ports", [])},
        "HostConfig": _host_config(config, spec.resources),
    }
    return {key: value for key, value in body.items() if value not in (None, "", {})}


def resources_body(resources: Resources) -> dict[str, Any]:
    """The limits, as create and update take them."""
    body: dict[str, Any] = {}
    if resources.cpu_cores is not None:
        body["NanoCpus"] = int(resources.cpu_cores * 1e9)
    if resources.memory_bytes is not None:
        # Swap stays as the engine would choose it: as much again as memory.
        body["Memory"] = resources.memory_bytes
        body["MemorySwap"] = resources.memory_bytes * 2
    return body


def _host_config(config: Mapping[str, Any], resources: Resources) -> dict[str, Any]:
    capabilities = config.get("capabilities") or {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in config.get("ports", []):
        binding = {"HostIp": port["host_ip"], "HostPort": port["host_port"]}
        bindings.setdefault(port["container"], []).append(binding)
    body: dict[str, Any] = {
        **resources_body(resources),
        "Binds": config.get("volumes") or None,
        "PortBindings": bindings or None,
        "NetworkMode": config.get("network_mode"),
        "RestartPolicy": config.get("restart_policy"),
        "CapAdd": capabilities.get("add") or None,
        "CapDrop": capabilities.get("drop") or None,
        "Privileged": config.get("privileged"),
        "ReadonlyRootfs": config.get("read_only"),
        "Tmpfs": dict.fromkeys(config["tmpfs"], "") if config.get("tmpfs") else None,
        "Devices": config.get("devices") or None,
        "DeviceRequests": _gpus(config.get("gpus")),
        "LogConfig": _log_config(config),
    }
    return {key: value for key, value in body.items() if value is not None}


def _log_config(config: Mapping[str, Any]) -> dict[str, Any] | None:
    if not config.get("log_driver") and not config.get("log_options"):
        return None
    return {"Type": config.get("log_driver", "json-file"), "Config": config.get("log_options", {})}


def _gpus(wanted: Any) -> list[dict[str, Any]] | None:
    if not wanted:
        return None
    return [{"Driver": "", "Count": -1 if wanted == "all" else wanted, "Capabilities": [["gpu"]]}]


def _health_check(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not given:
        return None
    body: dict[str, Any] = {"Test": given["test"]}
    for ours, theirs in (("interval", "Interval"), ("timeout", "Timeout"), ("start_period", "StartPeriod")):
        if ours in given:
            body[theirs] = int(given[ours] * 1_000_000_000)
    if "retries" in given:
        body["Retries"] = given["retries"]
    return body


def _policy(config: Mapping[str, Any]) -> None:
    mode = str(config.get("network_mode", ""))
    rules = {
        "privileged": bool(config.get("privileged")),
        "host_network": mode == "host" or mode.startswith("container:"),
        "host_path": any(item.startswith("/") for item in config.get("volumes", [])),
        "devices": bool(config.get("devices")) or bool(config.get("gpus")),
        "added_capabilities": bool((config.get("capabilities") or {}).get("add")),
        "log_driver": config.get("log_driver") in ("journald", "syslog"),
    }
    for rule, broken in rules.items():
        if broken:
            words = rule.replace("_", " ")
            raise PolicyDenied(
                f"Only administrators may ask for {words}: it is as good as root on the host.", rule=rule
            )


# -- checks of single keys --------------------------------------------------------------------


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 4096 or "\x00" in value:
        raise InvalidInput.field(name, "must be text of at most 4096 characters.")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput.field(name, "must be true or false.")
    return value


def _words(name: str, value: Any) -> list[str]:
    if isinstance(value, str) and value:
        raise InvalidInput.field(name, "must be a list of texts, one for each argument.")
    if not isinstance(value, (list, tuple)) or len(value) > _LIST_MAX:
        raise InvalidInput.field(name, f"must be a list of at most {_LIST_MAX} texts.")
    return [_text(name, item) for item in value]


def _image(name: str, value: Any) -> str:
    text = _text(name, value).strip()
    if not _REFERENCE.fullmatch(text) or len(text) > 255:
        raise InvalidInput.field(name, "is not an image name such as “nginx:1.27”.")
    return text


def _env(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > _LIST_MAX:
        raise InvalidInput.field(name, "must be an object of texts.")
    for key, item in value.items():
        if not isinstance(key, str) or not _ENV_NAME.fullmatch(key):
            raise InvalidInput.field(name, "names must have no spaces and no “=”.")
        if not isinstance(item, str) or len(item) > 32768 or "\x00" in item:
            raise InvalidInput.field(f"{name}.{key}", "must be text.")
    return dict(value)


def _volumes(name: str, value: Any) -> list[str]:
    items = _words(name, value)
    for item in items:
        if not _VOLUME.fullmatch(item) and not (_BIND.fullmatch(item) and ".." not in item.split("/")):
            raise InvalidInput.field(name, f"“{item[:80]}” is not “volume:/path[:ro]” or “/host:/path[:ro]”.")
    return items


def _ports(name: str, value: Any) -> list[dict[str, str]]:
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return [_port_again(name, item) for item in value]
    return [_port(name, item) for item in _words(name, value)]


def _port_again(name: str, item: Mapping[str, Any]) -> dict[str, str]:
    """An already checked port: configs are stored as they were checked."""
    if set(item) != {"container", "host_ip", "host_port"}:
        raise InvalidInput.field(name, "must be a list of texts such as “8080:80/tcp”.")
    address = f"{item['host_ip']}:" if item["host_ip"] else ""
    return _port(name, f"{address}{item['host_port']}:{item['container']}")


def _port(name: str, text: str) -> dict[str, str]:
    found = _PORT.fullmatch(text)
    numbers = [int(number) for number in (found[2], found[3]) if number] if found else [0]
    octets = [int(part) for part in (found[1] or "").split(".") if part] if found else []
    if not found or not all(0 < number < 65536 for number in numbers) or any(part > 255 for part in octets):
        raise InvalidInput.field(name, f"“{text[:80]}” is not “[address:][host:]container[/protocol]”.")
    return {
        "container": f"{found[3]}/{found[4] or 'tcp'}",
        "host_ip": found[1] or "",
        "host_port": found[2] or "",
    }


def _network_mode(name: str, value: Any) -> str:
    text = _text(name, value)
    if not _NETWORK.fullmatch(text.removeprefix("container:")):
        raise InvalidInput.field(
            name, "must be a network's name, “bridge”, “none”, “host” or “container:name”."
        )
    return text


def _restart(name: str, value: Any) -> dict[str, Any]:
    given = {"policy": value} if isinstance(value, str) else value
    if isinstance(given, Mapping) and set(given) == {"Name", "MaximumRetryCount"}:
        # An already checked one: configs are stored as they were checked.
        given = {"policy": given["Name"], "maximum_retry_count": given["MaximumRetryCount"]}
    if not isinstance(given, Mapping) or set(given) - {"policy", "maximum_retry_count"}:
        raise InvalidInput.field(name, "must have “policy” and may have “maximum_retry_count”.")
    count = given.get("maximum_retry_count") or 0
    if given.get("policy") not in _RESTART:
        raise InvalidInput.field(f"{name}.policy", f"must be one of {', '.join(_RESTART)}.")
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 1000:
        raise InvalidInput.field(f"{name}.maximum_retry_count", "must be a whole number from 0 to 1000.")
    return {"Name": given["policy"], "MaximumRetryCount": count if given["policy"] == "on-failure" else 0}


def _capabilities(name: str, value: Any) -> dict[str, list[str]]:
    if not isinstance(value, Mapping) or set(value) - {"add", "drop"}:
        raise InvalidInput.field(name, "may have “add” and “drop”, lists of capability names.")
    found = {key: [word.upper() for word in _words(f"{name}.{key}", value[key] or [])] for key in value}
    for key, words in found.items():
        if not all(_CAPABILITY.fullmatch(word) for word in words):
            raise InvalidInput.field(f"{name}.{key}", "must hold capability names such as “NET_ADMIN”.")
    return found


def _tmpfs(name: str, value: Any) -> list[str]:
    items = _words(name, value)
    if not all(item.startswith("/") and ":" not in item for item in items):
        raise InvalidInput.field(name, "must be a list of absolute paths inside the container.")
    return items


def _devices(name: str, value: Any) -> list[dict[str, str]]:
    devices = []
    for item in value if isinstance(value, list) else [value]:
        text = item
        if isinstance(item, Mapping) and set(item) == {"PathOnHost", "PathInContainer", "CgroupPermissions"}:
            text = f"{item['PathOnHost']}:{item['PathInContainer']}:{item['CgroupPermissions']}"
        found = _DEVICE.fullmatch(text) if isinstance(text, str) else None
        if not found:
            raise InvalidInput.field(name, "must be a list of texts such as “/dev/fuse”.")
        devices.append(
            {
                "PathOnHost": found[1],
                "PathInContainer": found[2] or found[1],
                "CgroupPermissions": found[3] or "rwm",
            }
        )
    return devices


def _gpu_count(name: str, value: Any) -> str | int:
    if value == "all":
        return "all"
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 64:
        return value
    raise InvalidInput.field(name, "must be “all” or a number of GPUs.")


def _one_of(words: tuple[str, ...]) -> Check:
    def check(name: str, value: Any) -> str:
        if value not in words:
            raise InvalidInput.field(name, f"must be one of {', '.join(words)}.")
        return str(value)

    return check


def _health(name: str, value: Any) -> dict[str, Any]:
    known = {"test", "interval", "timeout", "start_period", "retries"}
    if not isinstance(value, Mapping) or set(value) - known or not value.get("test"):
        raise InvalidInput.field(
            name, f"must have “test” and may have {', '.join(sorted(known - {'test'}))}."
        )
    test = value["test"]
    checked: dict[str, Any] = {
        "test": ["CMD-SHELL", _text(f"{name}.test", test)] if isinstance(test, str) else _words(name, test)
    }
    if checked["test"][0] not in _HEALTH_WORDS:
        # The engine takes it, and then never runs it.
        raise InvalidInput.field(f"{name}.test", f"a list begins with one of {', '.join(_HEALTH_WORDS)}.")
    for key in known - {"test"}:
        if key in value:
            number = value[key]
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 86400:
                raise InvalidInput.field(f"{name}.{key}", "must be a number (seconds; retries: a count).")
            checked[key] = int(number) if key == "retries" else number
    return checked


_CHECKS: dict[str, Check] = {
    "image": _image,
    "command": _words,
    "entrypoint": _words,
    "env": _env,
    "volumes": _volumes,
    "ports": _ports,
    "network_mode": _network_mode,
    "restart_policy": _restart,
    "working_dir": _text,
    "user": _text,
    "hostname": _text,
    "health_check": _health,
    "capabilities": _capabilities,
    "privileged": _flag,
    "read_only": _flag,
    "tmpfs": _tmpfs,
    "devices": _devices,
    "gpus": _gpu_count,
    "log_driver": _one_of(_LOG_DRIVERS),
    "log_options": _env,
    "pull": _one_of(_PULL),
    "registry": _text,
}
