"""The ``config`` of a create request for a VM, checked against an allow-list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from compute.backends.checks import Check, config_checked
from compute.errors import InvalidInput, PolicyDenied
from kvm.engine.checks import NAME, WORD, flag, listing, mapping, matching, one_of, plain, text, whole

_HOSTNAME = re.compile(r"(?!-)[a-zA-Z0-9-]{1,63}(?<!-)")
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


def user_data(cloud_init: Mapping[str, Any]) -> str:
    """The NoCloud ``user-data``: as given, or composed from the single fields.

    Format: https://cloudinit.readthedocs.io/en/latest/reference/modules.html
    """
    if cloud_init.get("user_data"):
        return str(cloud_init["user_data"])
    document: dict[str, Any] = {}
    if cloud_init.get("users"):
        document["users"] = ["default", *cloud_init["users"]]
    for ours, theirs in (
        ("ssh_keys", "ssh_authorized_keys"),
        ("packages", "packages"),
        ("run_commands", "runcmd"),
        ("write_files", "write_files"),
        ("hostname", "hostname"),
    ):
        if cloud_init.get(ours):
            document[theirs] = cloud_init[ours]
    return "#cloud-config\n" + (yaml.safe_dump(document, sort_keys=False) if document else "{}\n")


def meta_data(cloud_init: Mapping[str, Any], instance_id: str, name: str) -> str:
    """The NoCloud ``meta-data``."""
    if cloud_init.get("meta_data"):
        return str(cloud_init["meta_data"])
    hostname = cloud_init.get("hostname") or re.sub(r"[^a-zA-Z0-9-]", "-", name).strip("-")
    return f"instance-id: {instance_id}\nlocal-hostname: {hostname}\n"


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


_CLOUD_INIT: dict[str, Check] = {
    "user_data": text,
    "meta_data": text,
    "network_config": text,
    "hostname": matching(_HOSTNAME, "a host name"),
    "users": listing(plain),
    "ssh_keys": listing(text),
    "packages": listing(text),
    "run_commands": listing(plain),
    "write_files": listing(plain),
}
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
    "cloud_init": mapping(_CLOUD_INIT),
    "firmware": one_of("bios", "uefi"),
    "machine": matching(WORD, "a machine type such as “q35”"),
    "cpu_model": matching(WORD, "a CPU model such as “Skylake-Client”"),
    "cpu_topology": mapping({"sockets": whole(1, 64), "cores": whole(1, 256), "threads": whole(1, 8)}),
    "graphics": one_of("vnc", "none"),
    "boot": listing(one_of("hd", "cdrom", "network")),
    "autostart": flag,
    "os_variant": matching(WORD, "an OS name such as “debian12”"),
}
