"""Machines as the API from before Docker shows them: camelCase, its own words for states."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from compute.actor import Actor
from compute.errors import InstanceNotFound, InvalidInput
from compute.models import Event, Instance
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name
from compute.selectors.instances import InstanceFilter, instance_dict, instances_page
from compute.selectors.page import Page
from compute.states import InstanceState
from kvm.selectors.nodes import BACKEND

_MIB = 1024**2
STATUS = {
    InstanceState.RUNNING: "running",
    InstanceState.PAUSED: "paused",
    InstanceState.STOPPED: "stopped",
    InstanceState.CREATED: "stopped",
    InstanceState.ERROR: "crashed",
    InstanceState.UNKNOWN: "unknown",
}
# A machine that is shutting down runs until it is off.
STATUSES = ("running", "stopped", "paused", "shutdown", "crashed", "unknown")
# What older clients read where no time is known.
_NO_TIME = "0001-01-01T00:00:00Z"


def vms_page(actor: Actor, *, page: int, page_size: int, status: str = "") -> Page:
    """Raises ``InvalidInput`` for a word that is no status."""
    if status and status not in STATUSES:
        raise InvalidInput.field("status", f"must be one of {', '.join(STATUSES)}.")
    states = tuple(state for state, word in STATUS.items() if word == status)
    if status and not states:
        return Page([], 0, page, page_size)
    found = instances_page(
        actor, InstanceFilter(backend=BACKEND, states=states, page=page, page_size=page_size)
    )
    return Page([vm_shape(row) for row in found.items], found.total, page, page_size)


def vm_row(actor: Actor, name: str) -> Instance:
    """By name or id, among machines only. Raises ``InstanceNotFound``; ``InvalidInput`` when several
    nodes have one of that name."""
    rows = visible(actor, Instance.objects.select_related("node", "project").filter(backend=BACKEND))
    found = list(rows.filter(by_id_or_name(name))[:2])
    if len(found) > 1:
        raise InvalidInput.field("name", f"several machines are called “{name[:100]}”; use the id.")
    if not found:
        raise InstanceNotFound(f"There is no machine “{name[:100]}”.", instance=name[:100])
    return found[0]


def vm_dict(instance: Instance) -> dict[str, Any]:
    """One machine. Raises ``InstanceNotFound`` when it went meanwhile."""
    return vm_shape(instance_dict(instance))


def vm_shape(row: Mapping[str, Any]) -> dict[str, Any]:
    """``name, uuid, description, status, cpu, memory, disks[], networks[], createdAt``; what is empty is
    left away inside the parts, as it always was."""
    config, resources = row["config"], row["resources"]
    devices = config.get("devices") or {}
    size = int(resources["memory"]["limit"] or 0)
    return {
        "name": row["name"],
        "uuid": row["uuid"],
        "description": str(config.get("description") or ""),
        "status": STATUS.get(InstanceState(row["state"]), "unknown"),
        "cpu": _cpu(config, resources["cpu"]["cores"]),
        "memory": {"sizeBytes": size, "sizeMB": size // _MIB},
        "disks": _disks(row, devices.get("disks") or []),
        "networks": _networks(row, devices.get("nics") or []),
        "createdAt": row["created_at"] or _NO_TIME,
    }


def _cpu(config: Mapping[str, Any], cores: float | None) -> dict[str, Any]:
    topology = config.get("cpu_topology") or {}
    shown = {
        "model": config.get("cpu_model"),
        "sockets": topology.get("sockets"),
        "cores": topology.get("cores"),
        "threads": topology.get("threads"),
    }
    return {"count": int(cores or 0), **_told(shown)}


def _disks(row: Mapping[str, Any], plugged: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``path`` is the name in the pool: paths of the host are not told."""
    known = {disk.get("target"): disk for disk in plugged}
    first = row["config"].get("disk") or {}
    found: list[dict[str, Any]] = []
    for item in row["storage"]:
        if item["format"] == "cdrom":
            continue
        disk = known.get(item["target"], first)
        shown = {
            "readOnly": disk.get("read_only"),
            "bootable": not found,
            "shareable": disk.get("shareable"),
            "storagePool": disk.get("pool"),
            "device": item["target"],
            "volumeName": item["source"],
        }
        found.append(
            {
                "path": item["source"],
                "format": item["format"],
                "sizeBytes": int(item["size"] or 0),
                "bus": str(disk.get("bus") or ""),
                **_told(shown),
            }
        )
    return found


def _networks(row: Mapping[str, Any], plugged: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    known = {nic.get("mac_address"): nic for nic in plugged}
    found = []
    for item in row["networks"]:
        nic = known.get(item["mac_address"], {})
        addresses = {"ipAddress": item["ip_address"], "ipAddressV6": item["ipv6_address"]}
        found.append(
            {
                "type": str(nic.get("type") or "network"),
                "source": item["network"],
                "model": str(nic.get("model") or "virtio"),
                "macAddress": item["mac_address"],
                **_told(addresses),
            }
        )
    return found


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def vm_status(actor: Actor, instance_id: str) -> dict[str, Any]:
    """``status``, when it became that, and for how long it has run (seconds, 0 otherwise), as far as
    LibGo saw it. Raises ``InstanceNotFound``."""
    row = vm_row(actor, instance_id)
    told = Event.objects.filter(instance_uid=row.pk, details__has_key="from").order_by("-seq").first()
    since = told.timestamp if told else row.created_at
    running = row.state == InstanceState.RUNNING
    return {
        "status": STATUS.get(InstanceState(row.state), "unknown"),
        "lastStateChange": since.astimezone(timezone.utc)
        .isoformat(timespec="seconds")
        .replace("+00:00", "Z"),
        "uptime": max(0, int((datetime.now(timezone.utc) - since).total_seconds())) if running else 0,
    }


def metrics_shape(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A sample of usage in the older words; what the host does not tell is null."""
    return {
        "cpu": {"utilization": sample.get("cpu_percent")},
        "memory": {"used": sample.get("memory_bytes"), "total": sample.get("memory_limit_bytes")},
        "network": {"rxBytes": sample.get("network_rx_bytes"), "txBytes": sample.get("network_tx_bytes")},
        "disk": {"readBytes": sample.get("disk_read_bytes"), "writeBytes": sample.get("disk_write_bytes")},
    }
