"""The ``config`` of a create request for a VM, checked against an allow-list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.backends.checks import Check, config_checked
from compute.errors import InvalidInput, PolicyDenied
from kvm.engine.checks import NAME, WORD, flag, listing, mapping, matching, one_of, whole
from kvm.engine.cloud_init import cloud_init_check

_GIB = 1024**3
_DISK_MAX = 64 * 1024 * _GIB


def config_check(config: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
    """Typed, with defaults. Raises ``InvalidInput`` keyed ``config.<key>``; ``PolicyDenied`` for a
    path on the host where the name of an image belongs."""
    checked = config_checked(config, _CHECKS)
    if not checked.get("image"):
        raise InvalidInput.field("config.image", "is required: the name of a template or an ISO in the pool.")
    if "network" in checked:
        checked.setdefault("networks", checked["network"])
        del checked["network"]
    checked.setdefault("disk", {})
    return checked


def _image(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput.field(name, "must be the name of a template or an ISO.")
    if "/" in value:
        # Rule: a path would let anyone read any file of the host as a disk.
        raise PolicyDenied("An image is named, never given as a path on the host.", rule="host_path")
    if value and not NAME.fullmatch(value):
        raise InvalidInput.field(name, "must be letters, digits, dots, dashes or underscores.")
    return value


def _networks(name: str, value: Any) -> list[str]:
    """A name, a list of names, or objects with ``network``; “none” is no NIC at all."""
    items = value if isinstance(value, (list, tuple)) else [value]
    if len(items) > 8:
        raise InvalidInput.field(name, "must be at most 8 networks.")
    names = []
    for item in items:
        word = item.get("network") or item.get("source") if isinstance(item, Mapping) else item
        names.append(matching(NAME, "the name of a libvirt network, “user” or “none”")(name, word))
    return [word for word in names if word != "none"]


_CHECKS: dict[str, Check] = {
    "image": _image,
    "disk": mapping(
        {
            "size": whole(1024**2, _DISK_MAX),
            "format": one_of("qcow2", "raw"),
            "bus": one_of("virtio", "scsi", "sata"),
            "cache": one_of("none", "writeback", "writethrough", "directsync", "unsafe"),
        }
    ),
    "network": _networks,
    "networks": _networks,
    "cloud_init": cloud_init_check,
    "firmware": one_of("bios", "uefi"),
    "machine": matching(WORD, "a machine type such as “q35”"),
    "cpu_model": matching(WORD, "a CPU model such as “Skylake-Client”"),
    "cpu_topology": mapping({"sockets": whole(1, 64), "cores": whole(1, 256), "threads": whole(1, 8)}),
    "graphics": one_of("vnc", "none"),
    "boot": listing(one_of("hd", "cdrom", "network")),
    "autostart": flag,
    "os_variant": matching(WORD, "an OS name such as “debian12”"),
}
