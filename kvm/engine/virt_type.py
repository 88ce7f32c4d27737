"""Can guests really run on KVM here? Asked by booting one of 512 bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import libvirt

from kvm.engine.connection import Connection
from kvm.engine.domain_xml import parse

# mov dx,0xf4 ; mov al,0x10 ; out dx,al ; cli ; hlt, and the mark of a boot sector. Writing to QEMU's
# isa-debug-exit port ends QEMU with the status (value << 1) | 1.
_BOOT_SECTOR = bytes([0xBA, 0xF4, 0x00, 0xB0, 0x10, 0xEE, 0xFA, 0xF4]).ljust(510, b"\x00") + b"\x55\xaa"
_EXIT_STATUS = (0x10 << 1) | 1
_BOOT_WITHIN_S = 6

_lock = threading.Lock()
_known: dict[str, str] = {}


def virt_type_of(connection: Connection) -> str:
    """``kvm`` or ``qemu`` (``test`` on libvirt's test driver): what the node's options say, and for
    ``auto`` KVM if a guest boots on it."""
    if connection.is_test_driver:
        return "test"
    wanted = str(connection.node.options.get("virt_type", "auto"))
    if wanted in ("kvm", "qemu"):
        return wanted
    with _lock:
        if connection.node.url not in _known:
            _known[connection.node.url] = _probe(connection)
        return _known[connection.node.url]


def _probe(connection: Connection) -> str:
    if not _offers_kvm(connection):
        return "qemu"
    return "kvm" if not connection.is_local or _boots_on_kvm() else "qemu"


def _offers_kvm(connection: Connection) -> bool:
    try:
        root = parse(connection.call(libvirt.virConnect.getCapabilities))
    except libvirt.libvirtError:
        return False
    return root.find("./guest/arch/domain[@type='kvm']") is not None


def _boots_on_kvm() -> bool:
    """A device node is no proof: nested or emulated hosts may have one on which guests hang."""
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with tempfile.TemporaryDirectory(prefix="libgo-kvm-probe-") as folder:
        image = Path(folder) / "boot.img"
        image.write_bytes(_BOOT_SECTOR.ljust(64 * 1024, b"\x00"))
        command = [
            qemu,
            *("-accel", "kvm", "-cpu", "host", "-m", "16", "-display", "none", "-nodefaults", "-no-reboot"),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"),
            *("-drive", f"file={image},format=raw,if=ide"),
        ]
        try:
            done = subprocess.run(command, timeout=_BOOT_WITHIN_S, capture_output=True, check=False)
        except (subprocess.TimeoutExpired, OSError):
            return False
    return done.returncode == _EXIT_STATUS
