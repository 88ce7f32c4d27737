"""A container in full: what the engine's inspection tells, typed, in LibGo's words and units."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dockerapp.engine.client import as_list
from dockerapp.engine.inspect import inspect_info, time_parse

_HEALTH_LOG_MAX = 10
_OUTPUT_MAX = 4096
_LIMITS = {
    "cpu_shares": "CpuShares",
    "memory_reservation_bytes": "MemoryReservation",
    "memory_swap_bytes": "MemorySwap",
    "shm_size_bytes": "ShmSize",
    "pids_limit": "PidsLimit",
}


def container_detail(doc: Mapping[str, Any]) -> dict[str, Any]:
    """What is more than the shape of an instance; env, labels and outputs are not masked yet."""
    info = inspect_info(doc)
    state, config, host = doc.get("State") or {}, doc.get("Config") or {}, doc.get("HostConfig") or {}
    settings = doc.get("NetworkSettings") or {}
    return {
        "engine_id": info.engine_id,
        "name": info.name,
        "image": info.image,
        "image_id": info.image_id,
        "config": dict(info.config),
        "labels": dict(info.labels),
        "path": str(doc.get("Path", "")),
        "args": [str(word) for word in as_list(doc.get("Args"))],
        "platform": str(doc.get("Platform", "")),
        "driver": str(doc.get("Driver", "")),
        "restart_count": int(doc.get("RestartCount") or 0),
        "process": _process(state),
        "health_check": _health(state),
        "mounts": [_mount(item) for item in as_list(doc.get("Mounts"))],
        "endpoints": [
            _endpoint(name, item or {}) for name, item in sorted((settings.get("Networks") or {}).items())
        ],
        "host": _host(host),
        "exposed_ports": sorted(config.get("ExposedPorts") or {}),
        "size_rw_bytes": _number(doc.get("SizeRw")),
        "size_root_bytes": _number(doc.get("SizeRootFs")),
    }


def _process(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": str(state.get("Status", "")),
        "running": bool(state.get("Running")),
        "paused": bool(state.get("Paused")),
        "restarting": bool(state.get("Restarting")),
        "oom_killed": bool(state.get("OOMKilled")),
        "dead": bool(state.get("Dead")),
        "exit_code": _number(state.get("ExitCode")),
        "error": str(state.get("Error") or "")[:_OUTPUT_MAX],
        "started_at": _time(time_parse(state.get("StartedAt"))),
        "finished_at": _time(time_parse(state.get("FinishedAt"))),
    }


def _health(state: Mapping[str, Any]) -> dict[str, Any] | None:
    health = state.get("Health") or {}
    if str(health.get("Status") or "none") == "none":
        return None
    return {
        "status": str(health["Status"]),
        "failing_streak": int(health.get("FailingStreak") or 0),
        "log": [
            {
                "started_at": _time(time_parse(item.get("Start"))),
                "finished_at": _time(time_parse(item.get("End"))),
                "exit_code": _number(item.get("ExitCode")),
                "output": str(item.get("Output") or "")[:_OUTPUT_MAX],
            }
            for item in as_list(health.get("Log"))[-_HEALTH_LOG_MAX:]
        ],
    }


def _mount(item: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(item.get("Type", ""))
    return {
        "type": kind,
        "name": str(item.get("Name", "")),
        # Where the engine keeps its volumes is the engine's own business.
        "source": str(item.get("Source", "")) if kind == "bind" else "",
        "target": str(item.get("Destination", "")),
        "driver": str(item.get("Driver", "")),
        "read_only": not item.get("RW", True),
        "propagation": str(item.get("Propagation", "")),
    }


def _endpoint(name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    fixed = item.get("IPAMConfig") or {}
    return {
        "network": name,
        "network_id": str(item.get("NetworkID", "")),
        "ip_address": str(item.get("IPAddress") or ""),
        "ip_prefix_length": int(item.get("IPPrefixLen") or 0),
        "gateway": str(item.get("Gateway") or ""),
        "ipv6_address": str(item.get("GlobalIPv6Address") or ""),
        "ipv6_prefix_length": int(item.get("GlobalIPv6PrefixLen") or 0),
        "ipv6_gateway": str(item.get("IPv6Gateway") or ""),
        "mac_address": str(item.get("MacAddress") or ""),
        "aliases": [str(alias) for alias in as_list(item.get("Aliases"))],
        "fixed_ip_address": str(fixed.get("IPv4Address") or ""),
        "fixed_ipv6_address": str(fixed.get("IPv6Address") or ""),
    }


def _host(host: Mapping[str, Any]) -> dict[str, Any]:
    restart = host.get("RestartPolicy") or {}
    log = host.get("LogConfig") or {}
    return {
        "network_mode": str(host.get("NetworkMode", "")),
        "restart_policy": {
            "policy": str(restart.get("Name") or "no"),
            "maximum_retry_count": int(restart.get("MaximumRetryCount") or 0),
        },
        "auto_remove": bool(host.get("AutoRemove")),
        "privileged": bool(host.get("Privileged")),
        "read_only": bool(host.get("ReadonlyRootfs")),
        "cap_add": [str(word) for word in as_list(host.get("CapAdd"))],
        "cap_drop": [str(word) for word in as_list(host.get("CapDrop"))],
        "security_opt": [str(word) for word in as_list(host.get("SecurityOpt"))],
        "pid_mode": str(host.get("PidMode", "")),
        "ipc_mode": str(host.get("IpcMode", "")),
        "runtime": str(host.get("Runtime", "")),
        "log_driver": str(log.get("Type", "")),
        **{ours: _number(host.get(theirs)) for ours, theirs in _LIMITS.items()},
    }


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")
