"""The ``config`` of a create request: checked against an allow-list, then turned into the engine's body.

What is as good as root on the host, or takes from its other users, is refused unless the caller may
have it; each refusal names its rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from dockerapp.engine import spec_checks as c

_PULL = ("missing", "always", "never")
_OWN_LOG_DRIVERS = ("json-file", "local", "none", "")
# These write to the host's own journal, or send to wherever they are told from the engine's place.
_HOST_LOG_DRIVERS = ("journald", "syslog", "gelf", "fluentd", "awslogs", "splunk", "gcplogs", "logentries")
_HARMLESS_OPTIONS = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
_BYTES_MAX = 2**60
_BYTES = " (bytes)"

CHECKS: dict[str, Check] = {
    "image": c.check_image,
    "registry": c.check_text,
    "pull": c.check_one_of(_PULL),
    "command": c.check_words,
    "entrypoint": c.check_words,
    "env": c.check_env,
    "working_dir": c.check_text,
    "user": c.check_text,
    "hostname": c.check_hostname,
    "domainname": c.check_hostname,
    "tty": c.check_flag,
    "stdin_open": c.check_flag,
    "stop_signal": c.check_signal,
    "stop_timeout": c.check_number(0, 3600, " (seconds)"),
    "health_check": c.check_health,
    "volumes": c.check_volumes,
    "volumes_from": c.check_words,
    "tmpfs": c.check_tmpfs,
    "ports": c.check_ports,
    "publish_all_ports": c.check_flag,
    "network_mode": c.check_network_mode,
    "networks": c.check_networks,
    "dns": c.check_addresses,
    "dns_search": c.check_words,
    "dns_options": c.check_words,
    "extra_hosts": c.check_extra_hosts,
    "restart_policy": c.check_restart,
    "init": c.check_flag,
    "read_only": c.check_flag,
    "privileged": c.check_flag,
    "capabilities": c.check_capabilities,
    "security_opt": c.check_words,
    "devices": c.check_devices,
    "device_cgroup_rules": c.check_device_rules,
    "gpus": c.check_gpu_count,
    "group_add": c.check_words,
    "pid_mode": c.check_mode,
    "ipc_mode": c.check_mode,
    "uts_mode": c.check_mode,
    "userns_mode": c.check_mode,
    "cgroupns_mode": c.check_mode,
    "cgroup_parent": c.check_text,
    "runtime": c.check_runtime,
    "sysctls": c.check_sysctls,
    "ulimits": c.check_ulimits,
    "oom_score_adj": c.check_number(-1000, 1000),
    "oom_kill_disable": c.check_flag,
    "pids_limit": c.check_pids,
    "memory_reservation": c.check_number(0, _BYTES_MAX, _BYTES),
    "memory_swap": c.check_swap,
    "memory_swappiness": c.check_number(0, 100),
    "shm_size": c.check_number(0, _BYTES_MAX, _BYTES),
    "cpu_shares": c.check_number(0, 262144),
    "cpuset_cpus": c.check_cpus,
    "blkio_weight": c.check_number(0, 1000),
    "log_driver": c.check_one_of((*_OWN_LOG_DRIVERS, *_HOST_LOG_DRIVERS)),
    "log_options": c.check_env,
}

# What can be changed on a container that exists; the rest needs a new one (recreate).
CHANGEABLE = frozenset(
    "restart_policy pids_limit memory_reservation memory_swap cpu_shares cpuset_cpus blkio_weight".split()
)

# Where a key goes unchanged: ours to the engine's, in the body and in its HostConfig (API 1.41).
_IN_BODY = {
    "image": "Image",
    "command": "Cmd",
    "entrypoint": "Entrypoint",
    "working_dir": "WorkingDir",
    "user": "User",
    "hostname": "Hostname",
    "domainname": "Domainname",
    "tty": "Tty",
    "stdin_open": "OpenStdin",
    "stop_signal": "StopSignal",
    "stop_timeout": "StopTimeout",
}
_IN_HOST = {
    "volumes_from": "VolumesFrom",
    "publish_all_ports": "PublishAllPorts",
    "network_mode": "NetworkMode",
    "dns": "Dns",
    "dns_search": "DnsSearch",
    "dns_options": "DnsOptions",
    "extra_hosts": "ExtraHosts",
    "restart_policy": "RestartPolicy",
    "init": "Init",
    "read_only": "ReadonlyRootfs",
    "privileged": "Privileged",
    "security_opt": "SecurityOpt",
    "devices": "Devices",
    "device_cgroup_rules": "DeviceCgroupRules",
    "group_add": "GroupAdd",
    "pid_mode": "PidMode",
    "ipc_mode": "IpcMode",
    "uts_mode": "UTSMode",
    "userns_mode": "UsernsMode",
    "cgroupns_mode": "CgroupnsMode",
    "cgroup_parent": "CgroupParent",
    "runtime": "Runtime",
    "sysctls": "Sysctls",
    "oom_score_adj": "OomScoreAdj",
    "oom_kill_disable": "OomKillDisable",
    "pids_limit": "PidsLimit",
    "memory_reservation": "MemoryReservation",
    "memory_swap": "MemorySwap",
    "memory_swappiness": "MemorySwappiness",
    "shm_size": "ShmSize",
    "cpu_shares": "CpuShares",
    "cpuset_cpus": "CpusetCpus",
    "blkio_weight": "BlkioWeight",
}


def config_check(config: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
    """Every key known and well formed, defaults filled in. Raises ``InvalidInput`` keyed
    ``config.<key>`` and ``PolicyDenied`` naming the rule."""
    checked = config_checked(config, CHECKS)
    if not checked.get("image"):
        raise InvalidInput.field("config.image", "is required, such as “nginx:1.27”.")
    checked.setdefault("pull", "missing")
    _network_check(checked)
    if not allow_root_equivalent:
        policy_check(checked)
    return checked


def changes_check(changes: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
    """Some keys of a configuration, as for a container that exists already; the image may be left out."""
    checked = config_checked(changes, CHECKS)
    if "image" in checked and not checked["image"]:
        raise InvalidInput.field("config.image", "must not be empty.")
    _network_check(checked)
    if not allow_root_equivalent:
        policy_check(checked)
    return checked


def reconfigure_check(changes: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
    """Only ``CHANGEABLE`` keys. Raises ``InvalidInput`` that says what a recreate is needed for."""
    for key in changes:
        if key not in CHANGEABLE:
            able = ", ".join(sorted(CHANGEABLE))
            raise InvalidInput.field(f"config.{key}", f"needs a new container (recreate); {able} do not.")
    return changes_check(changes, allow_root_equivalent=allow_root_equivalent)


def create_body(spec: InstanceSpec) -> dict[str, Any]:
    """The body of ``POST /containers/create`` (API 1.41). Only the first network is in it: older
    engines take no more at once."""
    labels = {
        **spec.labels,
        LABEL_INSTANCE: spec.instance_id,
        LABEL_OPERATION: spec.operation_id,
        LABEL_PROJECT: spec.project_id,
    }
    return {**config_body(spec.config, spec.resources), "Labels": labels}


def clone_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """For another container like this one: the engine picks its addresses and its ports of the host."""
    clone = {key: value for key, value in config.items() if key not in ("hostname", "registry")}
    if "networks" in clone:
        kept = ("network", "aliases")
        clone["networks"] = [
            {key: item[key] for key in kept if key in item}
            for item in c.check_networks("", clone["networks"])
        ]
    if "ports" in clone:
        clone["ports"] = [{**port, "host_port": ""} for port in c.check_ports("", clone["ports"])]
    return {**clone, "pull": "missing"}


def config_body(config: Mapping[str, Any], resources: Resources) -> dict[str, Any]:
    """Only what ``config`` and ``resources`` say: a key that is there and empty empties it."""
    body: dict[str, Any] = {theirs: config[ours] for ours, theirs in _IN_BODY.items() if ours in config}
    if "env" in config:
        body["Env"] = [f"{key}={value}" for key, value in config["env"].items()]
    if "health_check" in config:
        body["Healthcheck"] = _health_check(config["health_check"])
    if "ports" in config:
        body["ExposedPorts"] = {port["container"]: {} for port in config["ports"]}
    alone = [item for item in config.get("volumes", []) if ":" not in item]
    if alone:
        body["Volumes"] = {path: {} for path in alone}
    networks = config.get("networks") or []
    if networks:
        main = networks[0]
        body["NetworkingConfig"] = {"EndpointsConfig": {main["network"]: endpoint_body(main)}}
        if "mac_address" in main:
            body["MacAddress"] = main["mac_address"]
    body["HostConfig"] = _host_config(config, resources)
    return body


def endpoint_body(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    """How a container sits in one network: its fixed addresses and further names."""
    fixed = {"IPv4Address": endpoint.get("ip_address"), "IPv6Address": endpoint.get("ipv6_address")}
    fixed = {key: value for key, value in fixed.items() if value}
    body: dict[str, Any] = {"IPAMConfig": fixed} if fixed else {}
    if endpoint.get("aliases"):
        body["Aliases"] = endpoint["aliases"]
    return body


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


def changeable_body(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of ``CHANGEABLE``, as ``POST /containers/{id}/update`` takes it."""
    return {_IN_HOST[key]: config[key] for key in sorted(CHANGEABLE & set(config))}


def _host_config(config: Mapping[str, Any], resources: Resources) -> dict[str, Any]:
    body = {theirs: config[ours] for ours, theirs in _IN_HOST.items() if ours in config}
    if config.get("networks"):
        body["NetworkMode"] = config["networks"][0]["network"]
    if "volumes" in config:
        body["Binds"] = [item for item in config["volumes"] if ":" in item]
    if "ports" in config:
        body["PortBindings"] = _bindings(config["ports"])
    if "capabilities" in config:
        body["CapAdd"] = config["capabilities"].get("add") or []
        body["CapDrop"] = config["capabilities"].get("drop") or []
    if "tmpfs" in config:
        body["Tmpfs"] = dict(item.partition(":")[::2] for item in config["tmpfs"])
    if "ulimits" in config:
        body["Ulimits"] = [
            {"Name": name, "Soft": pair["soft"], "Hard": pair["hard"]}
            for name, pair in sorted(config["ulimits"].items())
        ]
    if config.get("gpus"):
        count = -1 if config["gpus"] == "all" else config["gpus"]
        body["DeviceRequests"] = [{"Driver": "", "Count": count, "Capabilities": [["gpu"]]}]
    if config.get("log_driver") or config.get("log_options"):
        driver = config.get("log_driver") or "json-file"
        body["LogConfig"] = {"Type": driver, "Config": config.get("log_options", {})}
    # What was asked for by name goes before what follows from a memory limit.
    return {**resources_body(resources), **body}


def _bindings(ports: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        binding = {"HostIp": port["host_ip"], "HostPort": port["host_port"]}
        bindings.setdefault(port["container"], []).append(binding)
    return bindings


def _health_check(given: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"Test": given["test"]}
    for ours, theirs in (("interval", "Interval"), ("timeout", "Timeout"), ("start_period", "StartPeriod")):
        if ours in given:
            body[theirs] = int(given[ours] * 1_000_000_000)
    if "retries" in given:
        body["Retries"] = given["retries"]
    return body


def _network_check(config: Mapping[str, Any]) -> None:
    """A mode that is no network and a list of networks say two different things."""
    mode, networks = str(config.get("network_mode") or ""), config.get("networks") or []
    if not networks or mode in ("", "default", networks[0]["network"]):
        return
    raise InvalidInput.field(
        "config.network_mode", "cannot be given beside networks, unless it is the first of them."
    )


# -- the policy -------------------------------------------------------------------------------

# Rule by rule, what only administrators may have.
_RULES: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "privileged": lambda config: bool(config.get("privileged")),
    "host_network": lambda config: _is_foreign(config.get("network_mode")),
    "host_pid": lambda config: _is_foreign(config.get("pid_mode")),
    "host_ipc": lambda config: _is_foreign(config.get("ipc_mode")),
    "host_uts": lambda config: _is_foreign(config.get("uts_mode")),
    "host_user": lambda config: bool(config.get("userns_mode")),
    "host_cgroup": lambda config: _is_foreign(config.get("cgroupns_mode")),
    "host_path": lambda config: any(c.is_host_path(item) for item in config.get("volumes", [])),
    "volumes_from": lambda config: bool(config.get("volumes_from")),
    "devices": lambda config: any(config.get(key) for key in ("devices", "gpus", "device_cgroup_rules")),
    "added_capabilities": lambda config: bool((config.get("capabilities") or {}).get("add")),
    "security_options": lambda config: any(
        option not in _HARMLESS_OPTIONS for option in config.get("security_opt", [])
    ),
    "runtime": lambda config: bool(config.get("runtime")),
    "cgroup_parent": lambda config: bool(config.get("cgroup_parent")),
    "group_add": lambda config: bool(config.get("group_add")),
    "sysctls": lambda config: bool(config.get("sysctls")),
    "ulimits": lambda config: bool(config.get("ulimits")),
    "oom": lambda config: bool(config.get("oom_score_adj") or config.get("oom_kill_disable")),
    "no_limit": lambda config: config.get("memory_swap") == -1 or config.get("pids_limit") in (-1, 0),
    "block_io": lambda config: bool(config.get("blkio_weight")),
    "log_driver": lambda config: config.get("log_driver") in _HOST_LOG_DRIVERS,
}


def policy_check(config: Mapping[str, Any]) -> None:
    """Raises ``PolicyDenied`` naming the first broken rule."""
    for rule, broken in _RULES.items():
        if broken(config):
            words = rule.replace("_", " ")
            raise PolicyDenied(
                f"Only administrators may ask for this ({words}): it is as good as root on the host, or "
                "takes from everyone on it.",
                rule=rule,
            )


def _is_foreign(mode: Any) -> bool:
    return str(mode or "") == "host" or str(mode or "").startswith("container:")
