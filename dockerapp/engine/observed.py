"""The ``config`` of a container as it is in force, in the words in which it would be asked for.

What was left to the engine is left out, so the same config asks for the same container again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dockerapp.engine.client import as_list

_HOST_TEXTS = {
    "pid_mode": "PidMode",
    "uts_mode": "UTSMode",
    "userns_mode": "UsernsMode",
    "cgroup_parent": "CgroupParent",
    "cpuset_cpus": "CpusetCpus",
}
_HOST_LISTS = {
    "dns": "Dns",
    "dns_search": "DnsSearch",
    "dns_options": "DnsOptions",
    "extra_hosts": "ExtraHosts",
    "group_add": "GroupAdd",
    "security_opt": "SecurityOpt",
    "device_cgroup_rules": "DeviceCgroupRules",
    "volumes_from": "VolumesFrom",
}
_HOST_FLAGS = {
    "privileged": "Privileged",
    "read_only": "ReadonlyRootfs",
    "init": "Init",
    "oom_kill_disable": "OomKillDisable",
    "publish_all_ports": "PublishAllPorts",
}
_HOST_NUMBERS = {
    "memory_reservation": "MemoryReservation",
    "cpu_shares": "CpuShares",
    "blkio_weight": "BlkioWeight",
    "oom_score_adj": "OomScoreAdj",
}
# Networks that the engine always has: a mode says that a container is in one of them.
_BUILT_IN = ("bridge", "host", "none")
_SHM_DEFAULT = 64 * 1024**2
_ID_SHOWN = 12


def observed_config(doc: Mapping[str, Any]) -> dict[str, Any]:
    """From the answer to ``GET /containers/{id}/json``; values of the wrong kind are the engine's."""
    config, host = doc.get("Config") or {}, doc.get("HostConfig") or {}
    shown = {
        "image": config.get("Image", ""),
        "command": as_list(config.get("Cmd")),
        "entrypoint": as_list(config.get("Entrypoint")),
        "env": dict(item.partition("=")[::2] for item in as_list(config.get("Env"))),
        "working_dir": config.get("WorkingDir", ""),
        "user": config.get("User", ""),
        "hostname": _host_name(doc, config),
        "domainname": config.get("Domainname", ""),
        "tty": bool(config.get("Tty")),
        "stdin_open": bool(config.get("OpenStdin")),
        "stop_signal": config.get("StopSignal", ""),
        "health_check": _health_check(config.get("Healthcheck") or {}),
        **_host(host),
        **_networks(doc, host),
    }
    found = {key: value for key, value in shown.items() if value not in ("", [], {}, False, None, 0)}
    if config.get("StopTimeout") is not None:
        found["stop_timeout"] = int(config["StopTimeout"])
    return found


def _host(host: Mapping[str, Any]) -> dict[str, Any]:
    log = host.get("LogConfig") or {}
    restart = host.get("RestartPolicy") or {}
    memory, swap = int(host.get("Memory") or 0), int(host.get("MemorySwap") or 0)
    ipc, runtime = str(host.get("IpcMode") or ""), str(host.get("Runtime") or "")
    shm = int(host.get("ShmSize") or 0)
    return {
        **{ours: str(host.get(theirs) or "") for ours, theirs in _HOST_TEXTS.items()},
        **{ours: [str(item) for item in as_list(host.get(theirs))] for ours, theirs in _HOST_LISTS.items()},
        **{ours: bool(host.get(theirs)) for ours, theirs in _HOST_FLAGS.items()},
        **{ours: int(host.get(theirs) or 0) for ours, theirs in _HOST_NUMBERS.items()},
        "volumes": [*as_list(host.get("Binds")), *_mounted(host)],
        "tmpfs": [
            f"{path}:{said}" if said else path for path, said in sorted((host.get("Tmpfs") or {}).items())
        ],
        "ports": _ports(host),
        "restart_policy": {
            "policy": restart.get("Name") or "no",
            "maximum_retry_count": restart.get("MaximumRetryCount") or 0,
        },
        "capabilities": _capabilities(host),
        "devices": _devices(host),
        "gpus": _gpus(host),
        "ulimits": {
            _limit_name(item): {
                "soft": int(item.get("Soft", 0)),
                "hard": int(item.get("Hard", 0)),
            }
            for item in as_list(host.get("Ulimits"))
        },
        "sysctls": dict(host.get("Sysctls") or {}),
        "log_driver": log.get("Type", ""),
        "log_options": dict(log.get("Config") or {}),
        "ipc_mode": "" if ipc == "private" else ipc,
        # Without name spaces for control groups the engine says “host” for everyone.
        "cgroupns_mode": "private" if host.get("CgroupnsMode") == "private" else "",
        # What each engine calls its usual one; Podman tells no more of it.
        "runtime": "" if runtime in ("runc", "oci") else runtime,
        "pids_limit": max(0, int(host.get("PidsLimit") or 0)),
        "memory_swap": 0 if swap == memory * 2 else swap,
        "memory_swappiness": max(0, int(host.get("MemorySwappiness") or 0)),
        "shm_size": 0 if shm == _SHM_DEFAULT else shm,
    }


def _host_name(doc: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    name = str(config.get("Hostname") or "")
    return "" if name == str(doc.get("Id", ""))[:_ID_SHOWN] else name


def _health_check(check: Mapping[str, Any]) -> dict[str, Any]:
    """As it is asked for: seconds, not the engine's nanoseconds; what was left to it is left out."""
    names = (("interval", "Interval"), ("timeout", "Timeout"), ("start_period", "StartPeriod"))
    shown: dict[str, Any] = {ours: int(check[theirs]) / 1e9 for ours, theirs in names if check.get(theirs)}
    if check.get("Retries"):
        shown["retries"] = int(check["Retries"])
    return {"test": as_list(check["Test"]), **shown} if check.get("Test") else {}


def _mounted(host: Mapping[str, Any]) -> list[str]:
    """Mounts of the newer kind, in the words of the older."""
    return [
        f"{mount['Source']}:{mount['Target']}{':ro' if mount.get('ReadOnly') else ''}"
        for mount in as_list(host.get("Mounts"))
        if mount.get("Type") in ("volume", "bind") and mount.get("Source")
    ]


def _ports(host: Mapping[str, Any]) -> list[str]:
    return [
        f"{binding.get('HostIp', '')}:{binding.get('HostPort', '')}:{key}".lstrip(":")
        for key, bindings in sorted((host.get("PortBindings") or {}).items())
        for binding in bindings or []
    ]


def _capabilities(host: Mapping[str, Any]) -> dict[str, list[str]]:
    both = {"add": as_list(host.get("CapAdd")), "drop": as_list(host.get("CapDrop"))}
    return both if any(both.values()) else {}


def _devices(host: Mapping[str, Any]) -> list[str]:
    keys = ("PathOnHost", "PathInContainer", "CgroupPermissions")
    return [":".join(str(item.get(key, "")) for key in keys) for item in as_list(host.get("Devices"))]


def _gpus(host: Mapping[str, Any]) -> str | int:
    for request in as_list(host.get("DeviceRequests")):
        if ["gpu"] in as_list(request.get("Capabilities")):
            count = int(request.get("Count") or 0)
            return "all" if count < 0 else count
    return 0


def _networks(doc: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    """The mode, and the networks themselves where any is not one of the engine's own."""
    mode = str(host.get("NetworkMode") or "")
    joined: Mapping[str, Any] = (doc.get("NetworkSettings") or {}).get("Networks") or {}
    if not set(joined) - set(_BUILT_IN):
        return {"network_mode": mode}
    main = _main(mode, joined)
    order = [*([main] if main else []), *sorted(set(joined) - {main})]
    networks = [_endpoint(doc, name, joined[name] or {}) for name in order]
    mac = (doc.get("Config") or {}).get("MacAddress")
    if mac:
        networks[0]["mac_address"] = mac
    return {"network_mode": order[0], "networks": networks}


def _main(mode: str, joined: Mapping[str, Any]) -> str:
    """The network that the mode names, by name or by the engine's id."""
    wanted = "bridge" if mode == "default" else mode
    ids = {str((item or {}).get("NetworkID")): name for name, item in joined.items()}
    return wanted if wanted in joined else ids.get(wanted, "")


def _endpoint(doc: Mapping[str, Any], name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    fixed = item.get("IPAMConfig") or {}
    own = (str(doc.get("Id", ""))[:_ID_SHOWN], str(doc.get("Name", "")).lstrip("/"))
    shown = {
        "network": name,
        "ip_address": str(fixed.get("IPv4Address") or ""),
        "ipv6_address": str(fixed.get("IPv6Address") or ""),
        "aliases": [str(alias) for alias in as_list(item.get("Aliases")) if alias not in own],
    }
    return {key: value for key, value in shown.items() if value}


def _limit_name(limit: Mapping[str, Any]) -> str:
    """Podman names them as C does: RLIMIT_NOFILE."""
    return str(limit["Name"]).removeprefix("RLIMIT_").lower()
