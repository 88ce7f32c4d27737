"""What a guest's operating system wants of its hardware: few families, no catalogue.

Linux and the BSDs bring drivers for virtio; Windows installs without them, and reads the hardware
clock as local time. A system that nobody named is taken for a Linux.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OsDefaults:
    """``disk_bus`` and ``nic_model`` where the request names none; ``clock`` as libvirt spells it."""

    disk_bus: str = "virtio"
    nic_model: str = "virtio"
    clock: str = "utc"
    hyperv: bool = False

    @property
    def cdrom_bus(self) -> str:
        """Cloud kernels have no AHCI driver: a CD-ROM on SATA would be invisible to them. Windows
        has nothing else."""
        return "scsi" if self.disk_bus == "virtio" else "sata"


_LINUX = OsDefaults()
_WINDOWS = OsDefaults("sata", "e1000e", "localtime", hyperv=True)
_OTHER = OsDefaults("sata", "e1000e")
_FAMILIES = (("win", _WINDOWS), ("generic", _OTHER), ("other", _OTHER), ("macos", _OTHER), ("dos", _OTHER))


def defaults_of(os_variant: str) -> OsDefaults:
    """By the first letters of names such as ``windows11``, ``win2k22``, ``debian12``, ``generic``."""
    word = os_variant.lower()
    return next((found for start, found in _FAMILIES if word.startswith(start)), _LINUX)
