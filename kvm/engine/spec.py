"""The ``config`` of a create request for a VM, checked against an allow-list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.backends.checks import Check, config_checked
from compute.errors import InvalidInput, PolicyDenied
from compute.tell import tell
from kvm.cloud_init import cloud_init_check
from kvm.engine.checks import NAME, WORD, description, flag, listing, mapping, matching, one_of, whole
from kvm.engine.hardware_spec import disk_check, disks_check, nics_check, nics_policy


def config_check(config: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
    """Typed, with defaults. Raises ``InvalidInput`` keyed ``config.<key>``; ``PolicyDenied`` for a
    path on the host where the name of an image belongs."""
    checked = config_checked(config, _CHECKS)
    if "network" in checked:
        checked.setdefault("networks", checked["network"])
        del checked["network"]
    checked.setdefault("disk", {})
    _image_check(checked)
    _hardware_check(checked)
    nics_policy(checked.get("networks", []), allow_root_equivalent=allow_root_equivalent)
    return checked


# What can be changed on a machine that exists; the rest has calls of its own, or waits for another one.
_CHANGEABLE = ("description", "autostart", "boot")


def changes_check(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The same checks for what can be changed on a machine that exists."""
    return config_checked(changes, {key: _CHECKS[key] for key in _CHANGEABLE})


def storage_asked(config: Mapping[str, Any]) -> int:
    """Bytes of the new disks whose size is asked for."""
    disks = [config.get("disk") or {}, *config.get("disks", [])]
    return sum(int(disk.get("size") or 0) for disk in disks)


def _image_check(checked: Mapping[str, Any]) -> None:
    disk = checked["disk"]
    if checked.get("image"):
        if "volume" in disk:
            raise InvalidInput.field(
                "config.disk.volume", "is a disk that is there already; leave the image away."
            )
    elif "volume" not in disk and "size" not in disk:
        raise InvalidInput.field(
            "config.image",
            "is required: the name of a template or an ISO in the pool. For an empty disk give disk.size, "
            "for one that is there disk.volume.",
        )


def _hardware_check(checked: Mapping[str, Any]) -> None:
    if checked.get("secure_boot") and checked.get("firmware") != "uefi":
        raise InvalidInput.field("config.secure_boot", "needs the firmware “uefi”.")
    if checked.get("firmware") == "uefi" and str(checked.get("machine", "q35")).startswith(("pc", "isapc")):
        if checked.get("secure_boot"):
            raise InvalidInput.field("config.machine", "must be q35 for secure boot.")
    if len(set(checked.get("boot", []))) != len(checked.get("boot", [])):
        raise InvalidInput.field("config.boot", "names a device twice.")


def _image(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput.field(name, "must be the name of a template or an ISO.")
    if "/" in value:
        # Rule: a path would let anyone read any file of the host as a disk.
        raise PolicyDenied("An image is named, never given as a path on the host.", rule="host_path")
    if value and not NAME.fullmatch(value):
        raise InvalidInput.field(name, "must be letters, digits, dots, dashes or underscores.")
    return value


_CHECKS: dict[str, Check] = {
    "image": _image,
    "disk": disk_check,
    "disks": disks_check,
    "network": nics_check,
    "networks": nics_check,
    "cloud_init": cloud_init_check,
    "firmware": one_of("bios", "uefi"),
    "secure_boot": flag,
    "tpm": flag,
    "machine": matching(WORD, tell("a machine type such as “q35”")),
    "cpu_model": matching(WORD, tell("a CPU model such as “Skylake-Client”")),
    "cpu_topology": mapping({"sockets": whole(1, 64), "cores": whole(1, 256), "threads": whole(1, 8)}),
    "max_vcpus": whole(1, 1024),
    "max_memory": whole(64 * 1024**2, 2**50),
    "graphics": one_of("vnc", "none"),
    "boot": listing(one_of("hd", "cdrom", "network")),
    "autostart": flag,
    "description": description,
    "os_variant": matching(WORD, tell("an OS name such as “debian12”")),
}
