"""The ``config`` of a create request for a VM, checked against an allow-list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from compute.backends.checks import Check, config_checked
from compute.errors import InvalidInput, PolicyDenied

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_HOSTNAME = re.compile(r"(?!-)[a-zA-Z0-9-]{1,63}(?<!-)")
_WORD = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+:-]{0,63}")
_GIB = 1024**3
_DISK_MAX = 64 * 1024 * _GIB
_TEXT_MAX = 64 * 1024
_LIST_MAX = 64


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
    if value and not _NAME.fullmatch(value):
        raise InvalidInput.field(name, "must be letters, digits, dots, dashes or underscores.")
    return value


def _object(known: Mapping[str, Check]) -> Check:
    def check(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidInput.field(name, "must be an object.")
        for key in value:
            if key not in known:
                raise InvalidInput.field(f"{name}.{key}", f"is not one of {', '.join(sorted(known))}.")
        return {key: known[key](f"{name}.{key}", item) for key, item in value.items() if item is not None}

    return check


def _list(item: Check) -> Check:
    def check(name: str, value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)) or len(value) > _LIST_MAX:
            raise InvalidInput.field(name, f"must be a list of at most {_LIST_MAX}.")
        return [item(name, one) for one in value]

    return check


def _one_of(*words: str) -> Check:
    def check(name: str, value: Any) -> str:
        if value not in words:
            raise InvalidInput.field(name, f"must be one of {', '.join(words)}.")
        return str(value)

    return check


def _matching(pattern: re.Pattern[str], what: str) -> Check:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise InvalidInput.field(name, f"must be {what}.")
        return value

    return check


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_MAX or "\x00" in value:
        raise InvalidInput.field(name, f"must be text of at most {_TEXT_MAX} characters.")
    return value


def _plain(name: str, value: Any) -> Any:
    """A cloud-init value of several allowed shapes; only its size and depth matter to us."""
    if len(repr(value)) > _TEXT_MAX:
        raise InvalidInput.field(name, "is too large.")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput.field(name, "must be true or false.")
    return value


def _whole(low: int, high: int) -> Check:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidInput.field(name, f"must be a whole number from {low} to {high}.")
        return value

    return check


def _networks(name: str, value: Any) -> list[str]:
    """A name, a list of names, or objects with ``network``; “none” is no NIC at all."""
    items = value if isinstance(value, (list, tuple)) else [value]
    if len(items) > 8:
        raise InvalidInput.field(name, "must be at most 8 networks.")
    names = []
    for item in items:
        word = item.get("network") or item.get("source") if isinstance(item, Mapping) else item
        names.append(_matching(_NAME, "the name of a libvirt network, “user” or “none”")(name, word))
    return [word for word in names if word != "none"]


_CLOUD_INIT: dict[str, Check] = {
    "user_data": _text,
    "meta_data": _text,
    "network_config": _text,
    "hostname": _matching(_HOSTNAME, "a host name"),
    "users": _list(_plain),
    "ssh_keys": _list(_text),
    "packages": _list(_text),
    "run_commands": _list(_plain),
    "write_files": _list(_plain),
}
_CHECKS: dict[str, Check] = {
    "image": _image,
    "disk": _object(
        {
            "size": _whole(1024**2, _DISK_MAX),
            "format": _one_of("qcow2", "raw"),
            "bus": _one_of("virtio", "scsi", "sata"),
            "cache": _one_of("none", "writeback", "writethrough", "directsync", "unsafe"),
        }
    ),
    "network": _networks,
    "networks": _networks,
    "cloud_init": _object(_CLOUD_INIT),
    "firmware": _one_of("bios", "uefi"),
    "machine": _matching(_WORD, "a machine type such as “q35”"),
    "cpu_model": _matching(_WORD, "a CPU model such as “Skylake-Client”"),
    "cpu_topology": _object({"sockets": _whole(1, 64), "cores": _whole(1, 256), "threads": _whole(1, 8)}),
    "graphics": _one_of("vnc", "none"),
    "boot": _list(_one_of("hd", "cdrom", "network")),
    "autostart": _flag,
    "os_variant": _matching(_WORD, "an OS name such as “debian12”"),
}
