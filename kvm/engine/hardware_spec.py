"""Disks and NICs as they are asked for, checked against an allow-list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from compute.backends.types import StorageJoin
from compute.errors import InvalidInput, PolicyDenied
from compute.tell import tell
from kvm.engine.checks import NAME, flag, listing, mapping, matching, one_of, whole

_GIB = 1024**3
DISK_MAX = 64 * 1024 * _GIB
_NICS_MAX, _DISKS_MAX = 8, 20
# Volumes that others made may be called anything that is a file name.
_VOLUME = re.compile(r"(?!\.)[^/\x00-\x1f\x7f]{1,255}")
_MAC = re.compile(r"[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}")
# Interface names of Linux hold at most 15 characters.
_INTERFACE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}")
_HOST_LEVEL = ("bridge", "direct")

BUSES = ("virtio", "scsi", "sata")
CACHES = ("none", "writeback", "writethrough", "directsync", "unsafe")
NIC_MODELS = ("virtio", "e1000e", "e1000", "rtl8139", "vmxnet3")
IO_LIMITS = (
    "total_bytes_sec",
    "read_bytes_sec",
    "write_bytes_sec",
    "total_iops_sec",
    "read_iops_sec",
    "write_iops_sec",
)
_RATE_MAX = 2**40

volume_name = matching(_VOLUME, tell("the name of a volume"))
mac_address = matching(_MAC, tell("a MAC address of one card, such as 52:54:00:12:34:56"))
io_limits = mapping({name: whole(0, _RATE_MAX) for name in IO_LIMITS})
# Of libvirt's three numbers the average is what people mean; the peak may be higher for a burst.
_rate = mapping({"average": whole(1, 2**31), "peak": whole(1, 2**31), "burst": whole(1, 2**31)})
bandwidth = mapping({"inbound": _rate, "outbound": _rate})

_DISK = mapping(
    {
        "size": whole(1024**2, DISK_MAX),
        "format": one_of("qcow2", "raw"),
        "pool": matching(NAME, tell("the name of a pool")),
        "bus": one_of(*BUSES),
        "cache": one_of(*CACHES),
        "volume": volume_name,
        "clone": one_of("linked", "full"),
        "read_only": flag,
        "shareable": flag,
    }
)


def disk_check(name: str, value: Any) -> dict[str, Any]:
    """One disk: new with ``size``, or an existing ``volume`` of the pool as it is."""
    disk = _DISK(name, value)
    if "volume" in disk:
        for key in ("size", "clone"):
            if key in disk:
                raise InvalidInput.field(f"{name}.{key}", "belongs to a new disk, not to an existing volume.")
    if disk.get("shareable") and disk.get("format") == "qcow2":
        raise InvalidInput.field(f"{name}.shareable", "needs the format raw: two writers break a qcow2.")
    return dict(disk)


def disks_check(name: str, value: Any) -> list[dict[str, Any]]:
    """Disks beside the first one."""
    disks: list[dict[str, Any]] = listing(disk_check)(name, value)
    if len(disks) > _DISKS_MAX:
        raise InvalidInput.field(name, f"must be at most {_DISKS_MAX} disks.")
    for disk in disks:
        if "size" not in disk and "volume" not in disk:
            raise InvalidInput.field(name, "needs a size for each new disk, or the volume that it is.")
        if "clone" in disk:
            raise InvalidInput.field(name, "only the first disk is made from an image.")
    return disks


def join_check(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Storage to be attached, of the API's fields: ``source`` or ``size``, ``format``, and of a disk
    ``pool``, ``bus``, ``cache``, ``read_only``, ``shareable``. Gives the fields of ``StorageJoin``."""
    given = {key: value for key, value in wanted.items() if value not in (None, "")}
    if "target" in given:
        raise InvalidInput.field("target", "is chosen by LibGo: the next free name on the bus.")
    if ("source" in given) == ("size" in given):
        raise InvalidInput.field("size", "is needed for a new disk, source for a volume that is there.")
    words = {"volume" if key == "source" else key: value for key, value in given.items()}
    try:
        disk = disk_check("disk", words)
    except InvalidInput as error:
        fields = {name.removeprefix("disk."): text for name, text in error.details["fields"].items()}
        renamed = {"source" if name == "volume" else name: text for name, text in fields.items()}
        raise InvalidInput(
            "; ".join(f"{name}: {text}" for name, text in renamed.items()), fields=renamed
        ) from error
    options = {key: disk[key] for key in ("pool", "bus", "cache", "read_only", "shareable") if key in disk}
    return {
        "source": disk.get("volume", ""),
        "size_bytes": disk.get("size"),
        "format": disk.get("format", ""),
        "options": options,
    }


def join_disk(join: StorageJoin) -> dict[str, Any]:
    """The same as a disk of the configuration."""
    disk: dict[str, Any] = dict(join.options)
    if join.format:
        disk["format"] = join.format
    return {**disk, "volume": join.source} if join.source else {**disk, "size": join.size_bytes}


def nics_check(name: str, value: Any) -> list[str | dict[str, str]]:
    """A name, a list of names, or objects; “none” is no NIC at all. A plain NIC on a libvirt network
    stays its name, so that a simple wish reads simply."""
    items = value if isinstance(value, (list, tuple)) else [value]
    if len(items) > _NICS_MAX:
        raise InvalidInput.field(name, f"must be at most {_NICS_MAX} networks.")
    found = [nic_check(name, item) for item in items if item != "none"]
    macs = [nic["mac_address"] for nic in found if isinstance(nic, dict) and "mac_address" in nic]
    if len(set(macs)) != len(macs):
        raise InvalidInput.field(name, "must not give one MAC address twice.")
    return found


def nic_check(name: str, value: Any) -> str | dict[str, str]:
    """``{network|bridge|direct: source, model?, mac_address?}``, or ``{type, source, …}``."""
    if not isinstance(value, Mapping):
        return matching(NAME, tell("the name of a libvirt network, “user” or “none”"))(name, value)
    nic = _nic_keys(name, value)
    kind = next(word for word in ("network", *_HOST_LEVEL) if word in nic)
    if kind == "network":
        matching(NAME, tell("the name of a libvirt network, or “user”"))(name, nic[kind])
    else:
        matching(_INTERFACE, tell("the name of an interface of the host"))(f"{name}.{kind}", nic[kind])
    if "model" in nic:
        one_of(*NIC_MODELS)(f"{name}.model", nic["model"])
    if "mac_address" in nic:
        nic["mac_address"] = mac_address(f"{name}.mac_address", nic["mac_address"]).lower()
    return nic[kind] if set(nic) == {"network"} else nic


def _nic_keys(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    nic = {str(key): item for key, item in value.items() if item not in (None, "")}
    kind, source = nic.pop("type", "network"), nic.pop("source", None)
    if kind not in ("network", *_HOST_LEVEL):
        raise InvalidInput.field(f"{name}.type", "must be one of network, bridge, direct.")
    if source is not None:
        nic.setdefault(kind, source)
    unknown = sorted(set(nic) - {"network", *_HOST_LEVEL, "model", "mac_address"})
    if unknown:
        known = "network, bridge, direct, model, mac_address"
        raise InvalidInput.field(f"{name}.{unknown[0][:50]}", f"is not one of {known}.")
    if len([word for word in ("network", *_HOST_LEVEL) if word in nic]) != 1:
        raise InvalidInput.field(name, "needs one of network, bridge or direct, with its name.")
    return nic


def nics_policy(nics: list[Any], *, allow_root_equivalent: bool) -> None:
    """Raises ``PolicyDenied`` for NICs that put a guest onto the host's own networks."""
    for nic in nics:
        for kind in _HOST_LEVEL:
            if isinstance(nic, Mapping) and kind in nic and not allow_root_equivalent:
                raise PolicyDenied(
                    f"A NIC of the kind “{kind}” is on the host's own network; only administrators may ask "
                    "for one. Choose a libvirt network.",
                    rule="host_network",
                )


def nic_parts(nic: str | Mapping[str, Any]) -> tuple[str, str]:
    """Kind and source of a checked NIC: network, bridge, direct, or user without a source."""
    if isinstance(nic, str):
        return ("user", "") if nic == "user" else ("network", nic)
    for kind in _HOST_LEVEL:
        if kind in nic:
            return kind, str(nic[kind])
    return nic_parts(str(nic["network"]))
