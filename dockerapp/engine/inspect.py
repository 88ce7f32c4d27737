"""What the engine shows of a container, as :class:`InstanceInfo`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from compute.backends.types import (
    LABEL_INSTANCE,
    LABEL_OPERATION,
    LABEL_PROJECT,
    InstanceInfo,
    NetworkInfo,
    PortInfo,
    StorageInfo,
)
from compute.states import InstanceState, InstanceType
from compute.tell import tell
from dockerapp.engine.client import as_list
from dockerapp.engine.observed import observed_config

_STATES = {
    "created": InstanceState.CREATED,
    "running": InstanceState.RUNNING,
    "restarting": InstanceState.RUNNING,
    "paused": InstanceState.PAUSED,
    "removing": InstanceState.STOPPED,
    "exited": InstanceState.STOPPED,
    "dead": InstanceState.ERROR,
}
_EXIT_CODE = re.compile(r"\((\d+)\)")
_HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")
_FRACTION = re.compile(r"\.(\d{6})\d*")


def summary_info(row: Mapping[str, Any]) -> InstanceInfo:
    """One entry of the list call: everything but limits, full configuration and start time."""
    word = str(row.get("State", ""))
    said = str(row.get("Status", ""))
    code = _EXIT_CODE.search(said)
    health = _HEALTH.search(said)
    labels = dict(row.get("Labels") or {})
    networks = (row.get("NetworkSettings") or {}).get("Networks") or {}
    return InstanceInfo(
        engine_id=str(row["Id"]),
        name=_name(as_list(row.get("Names"))),
        type=InstanceType.CONTAINER,
        state=_STATES.get(word, InstanceState.UNKNOWN),
        status=_status(word, int(code[1]) if code else 0, ""),
        image=str(row.get("Image", "")),
        image_id=str(row.get("ImageID", "")),
        health=health[1] if health else "",
        networks=networks_of(networks),
        storage=_storage(as_list(row.get("Mounts"))),
        ports=tuple(_listed_port(port) for port in as_list(row.get("Ports"))),
        created_at=unix_time(row.get("Created")),
        **_marks(labels),
    )


def inspect_info(doc: Mapping[str, Any]) -> InstanceInfo:
    """One container in full."""
    state, config, host = doc.get("State") or {}, doc.get("Config") or {}, doc.get("HostConfig") or {}
    settings = doc.get("NetworkSettings") or {}
    word = str(state.get("Status", ""))
    if word == "exited" and state.get("Error"):
        word = "dead"
    return InstanceInfo(
        engine_id=str(doc["Id"]),
        name=_name([doc.get("Name", "")]),
        type=InstanceType.CONTAINER,
        state=_STATES.get(word, InstanceState.UNKNOWN),
        status=_status(word, int(state.get("ExitCode") or 0), str(state.get("Error") or ""), state),
        image=str(config.get("Image", "")),
        image_id=str(doc.get("Image", "")),
        health=_health(state),
        config=observed_config(doc),
        cpu_cores=_cpu_cores(host),
        memory_bytes=int(host.get("Memory") or 0) or None,
        networks=networks_of(settings.get("Networks") or {}),
        storage=_storage(as_list(doc.get("Mounts"))),
        ports=_inspected_ports(settings.get("Ports") or {}, host.get("PortBindings") or {}),
        created_at=time_parse(doc.get("Created")),
        started_at=time_parse(state.get("StartedAt")),
        finished_at=time_parse(state.get("FinishedAt")),
        **_marks(dict(config.get("Labels") or {})),
    )


def unix_time(seconds: Any) -> datetime | None:
    """The engine's seconds since 1970; 0 and null mean that it does not know."""
    return datetime.fromtimestamp(int(seconds), timezone.utc) if seconds else None


def time_parse(text: Any) -> datetime | None:
    """The engine's RFC 3339 with nanoseconds; its year 1 means never."""
    if not isinstance(text, str) or not text or text.startswith("0001"):
        return None
    try:
        return datetime.fromisoformat(_FRACTION.sub(r".\1", _pad(text)).replace("Z", "+00:00")).astimezone(
            timezone.utc
        )
    except ValueError:
        return None


def _pad(text: str) -> str:
    """Python 3.10 reads fractions of exactly six digits only."""
    return re.sub(r"\.(\d{1,5})(?!\d)", lambda found: "." + found[1].ljust(6, "0"), text)


def _marks(labels: dict[str, str]) -> dict[str, Any]:
    return {
        "labels": labels,
        "instance_id": labels.get(LABEL_INSTANCE, ""),
        "operation_id": labels.get(LABEL_OPERATION, ""),
        "project_id": labels.get(LABEL_PROJECT, ""),
    }


def _name(names: list[Any]) -> str:
    """Links add names like ``/other/alias``; the container's own has one slash."""
    own = [str(name) for name in names if str(name).count("/") <= 1]
    return (own or [str(name) for name in names] or [""])[0].lstrip("/")


def _status(word: str, exit_code: int, error: str, state: Mapping[str, Any] | None = None) -> str:
    if word in ("exited", "dead", "restarting"):
        if error:
            return f"Could not start: {error}"[:250]
        is_again = word == "restarting"
        if state and state.get("OOMKilled"):
            if is_again:
                return tell(f"Restarting: ran out of memory and was killed (exit code {exit_code})")
            return tell(f"Ran out of memory and was killed (exit code {exit_code})")
        if is_again:
            return "Restarting" if state is None else tell(f"Restarting: exited with code {exit_code}")
        return tell(f"Exited with code {exit_code}")
    return word.capitalize() or "Unknown"


def _health(state: Mapping[str, Any]) -> str:
    word = str((state.get("Health") or {}).get("Status", ""))
    return "" if word == "none" else word


def _cpu_cores(host: Mapping[str, Any]) -> float | None:
    if host.get("NanoCpus"):
        return int(host["NanoCpus"]) / 1e9
    if host.get("CpuQuota") and int(host["CpuQuota"]) > 0:
        return int(host["CpuQuota"]) / int(host.get("CpuPeriod") or 100_000)
    return None


def networks_of(networks: Mapping[str, Any]) -> tuple[NetworkInfo, ...]:
    return tuple(
        NetworkInfo(
            network=name,
            mac_address=str((item or {}).get("MacAddress") or ""),
            ip_address=str((item or {}).get("IPAddress") or ""),
            ipv6_address=str((item or {}).get("GlobalIPv6Address") or ""),
        )
        for name, item in sorted(networks.items())
    )


def _storage(mounts: list[Mapping[str, Any]]) -> tuple[StorageInfo, ...]:
    return tuple(
        StorageInfo(
            name=str(mount.get("Name") or mount.get("Destination", "")),
            source=str(mount.get("Name") or mount.get("Source", "")),
            target=str(mount.get("Destination", "")),
            format=str(mount.get("Type", "")),
        )
        for mount in mounts
    )


def _listed_port(port: Mapping[str, Any]) -> PortInfo:
    public = port.get("PublicPort")
    return PortInfo(
        str(port.get("IP", "")),
        int(public) if public else None,
        int(port.get("PrivatePort", 0)),
        str(port.get("Type", "tcp")),
    )


def _inspected_ports(live: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[PortInfo, ...]:
    """Live bindings while it runs, the asked-for ones otherwise."""
    found = []
    for key, bindings in sorted({**asked, **live}.items()):
        number, _, protocol = key.partition("/")
        for binding in bindings or [{}]:
            public = (binding or {}).get("HostPort")
            address = str((binding or {}).get("HostIp") or "")
            found.append(PortInfo(address, int(public) if public else None, int(number), protocol or "tcp"))
    return tuple(found)
