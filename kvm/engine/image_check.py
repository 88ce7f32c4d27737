"""What a disk image from outside really is, found out before anything else opens it.

Headers of disk images can name other files, which whoever opens the image then reads: a backing file,
an external data file, the extents of a VMDK. So the header is read here first, and only what stands on
its own is let through. ``qemu-img`` sees a file after that, with its format given and its resources
limited; what it finds must agree.

Sources: QEMU's docs/interop/qcow2.txt; VMware, Virtual Disk Format 5.0; the VDI header as QEMU's
block/vdi.c describes it.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from compute.errors import BackendError, BackendTimeout, InvalidInput
from compute.tell import tell

VIRTUAL_MAX_BYTES = 16 * 1024**4
# As many bytes from the beginning tell what an image is.
HEAD_BYTES = 128 * 1024
FORMATS = ("raw", "iso", "qcow2", "vmdk", "vdi")

_SECTOR = 512
_CHECK_TIMEOUT_S = 30
_MEMORY_MAX, _CPU_MAX_S = 1024**3, 20

# Formats that are recognised only to be refused: a file that bears their mark is no raw disk.
_REFUSED_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"QED\x00", "QED"),
    (0, b"conectix", "VHD"),
    (0, b"vhdxfile", "VHDX"),
    (0, b"LUKS\xba\xbe", tell("LUKS, encrypted")),
    (0, b"COWD", tell("an old VMDK")),
    (0, b"Bochs Virtual HD Image", "Bochs"),
    (0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop", "cloop"),
    (0, b"WithoutFreeSpace", "Parallels"),
    (0, b"WithouFreSpacExt", "Parallels"),
    (0, b"OOOM", "QEMU's cow"),
)
_QCOW2_BACKING_FORMAT, _QCOW2_DATA_FILE, _QCOW2_ENCRYPTION = 0xE2792ACA, 0x44415441, 0x0537BE77
_QCOW2_EXTERNAL_DATA = 1 << 2
_QCOW2_KNOWN_FEATURES = 0b11111
_VMDK_DESCRIPTOR_AT, _VMDK_DESCRIPTOR_BYTES = 0x200, 20 * _SECTOR
_VMDK_TYPES = ("monolithicsparse", "streamoptimized")
_VMDK_LINE = re.compile(rb'^\s*(\w+)\s*=\s*"?([^"\r\n]*)"?', re.MULTILINE)

# ``read(offset, length)`` gives fewer bytes at the end of the image.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class CheckedImage:
    """``format`` is one of ``FORMATS`` and never to be guessed again; ``virtual_bytes`` is the disk
    that a guest sees, ``size_bytes`` the file."""

    format: str
    virtual_bytes: int
    size_bytes: int


def image_check(
    path: Path, *, wanted: str = "", virtual_max_bytes: int = VIRTUAL_MAX_BYTES, field: str = "file"
) -> CheckedImage:
    """A file of this host, by its header and then by ``qemu-img``. ``wanted`` is the format that it is
    said to have. Raises ``InvalidInput`` (of ``field``) for anything that names other files, is
    encrypted, broken, too large, or another format."""
    size = path.stat().st_size
    with path.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        found = header_check(read, size, wanted=wanted, virtual_max_bytes=virtual_max_bytes, field=field)
    if found.format in ("raw", "iso"):
        return found
    told = _qemu_says(path, found.format, field)
    return CheckedImage(found.format, _virtual(told.get("virtual-size"), virtual_max_bytes, field), size)


def header_check(
    read: Read,
    size_bytes: int,
    *,
    wanted: str = "",
    virtual_max_bytes: int = VIRTUAL_MAX_BYTES,
    field: str = "file",
) -> CheckedImage:
    """The same by the header alone: no other program is asked. Raises ``InvalidInput``."""
    if size_bytes <= 0:
        raise InvalidInput.field(field, "is empty.")
    head = read(0, HEAD_BYTES)
    found = format_of(head, field)
    virtual = size_bytes
    if found == "qcow2":
        virtual = _qcow2(head, field)
    elif found == "vmdk":
        virtual = _vmdk(head, read, field)
    elif found == "vdi":
        virtual = _vdi(head, field)
    # An ISO is a raw image too, and one that is started from a stick has a partition table in front.
    said = {"raw": ("raw", "iso"), "iso": ("iso",)}.get(wanted, (wanted,))
    if wanted and found not in said:
        raise InvalidInput.field(field, f"is said to be {wanted}, but looks like {found}.")
    return CheckedImage(found, _virtual(virtual, virtual_max_bytes, field), size_bytes)


def format_of(head: bytes, field: str = "file") -> str:
    """The format by its mark, ``raw`` without one. Raises ``InvalidInput`` for those that LibGo does
    not take."""
    if head[:4] == b"QFI\xfb":
        return "qcow2"
    if head[:4] == b"KDMV":
        return "vmdk"
    if head[64:68] == b"\x7f\x10\xda\xbe":
        return "vdi"
    if b"# Disk DescriptorFile" in head[:1024]:
        raise InvalidInput.field(
            field,
            "is the description of a VMDK whose data is in other files. Send the single file of a "
            "monolithicSparse or streamOptimized one.",
        )
    for offset, mark, name in _REFUSED_MARKS:
        if head[offset : offset + len(mark)] == mark:
            raise InvalidInput.field(field, f"has a format that is not taken here ({name}).")
    return "iso" if head[32769:32774] == b"CD001" else "raw"


def _qcow2(head: bytes, field: str) -> int:
    if len(head) < 104:
        raise _broken(field, tell("a qcow2 image"))
    version, backing_at = struct.unpack_from(">IQ", head, 4)
    cluster_bits, size, crypt = struct.unpack_from(">IQI", head, 20)
    if version not in (2, 3) or not 9 <= cluster_bits <= 21:
        raise _broken(field, tell("a qcow2 image, or one of a version that is not known here"))
    if backing_at:
        raise _points_away(field, tell("a backing file"))
    if crypt:
        raise InvalidInput.field(field, "is encrypted.")
    start = _qcow2_header_end(head, field) if version == 3 else 72
    for kind in _qcow2_extensions(head, start, 1 << cluster_bits, field):
        if kind in (_QCOW2_DATA_FILE, _QCOW2_BACKING_FORMAT):
            raise _points_away(field, tell("an external data file or a backing file"))
        if kind == _QCOW2_ENCRYPTION:
            raise InvalidInput.field(field, "is encrypted.")
    return int(size)


def _qcow2_header_end(head: bytes, field: str) -> int:
    """Of version 3, whose header has a length and says what a reader must understand."""
    (features,), (length,) = struct.unpack_from(">Q", head, 72), struct.unpack_from(">I", head, 100)
    if features & _QCOW2_EXTERNAL_DATA:
        raise _points_away(field, tell("an external data file"))
    if features & ~_QCOW2_KNOWN_FEATURES or not 104 <= length <= 4096:
        raise InvalidInput.field(field, "is a qcow2 image with features that are not known here.")
    return int(length)


def _qcow2_extensions(head: bytes, start: int, cluster: int, field: str) -> list[int]:
    """The kinds of the header's extensions; all of them lie in the first cluster."""
    kinds: list[int] = []
    end = min(cluster, len(head))
    while start + 8 <= end:
        kind, length = struct.unpack_from(">II", head, start)
        if kind == 0:
            return kinds
        kinds.append(kind)
        start += 8 + (length + 7) // 8 * 8
    if start > end:
        raise _broken(field, tell("a qcow2 image"))
    return kinds


def _vmdk(head: bytes, read: Read, field: str) -> int:
    if len(head) < _SECTOR:
        raise _broken(field, "a VMDK")
    capacity, _, descriptor_at, descriptor_sectors = struct.unpack_from("<QQQQ", head, 12)
    if capacity == 0:
        # QEMU then takes the description for the disk, extents in other files included.
        raise _points_away(field, tell("the extents of a VMDK"))
    if descriptor_sectors > 2048 or descriptor_at > 2**32:
        raise _broken(field, "a VMDK")
    # QEMU looks for a parent at a fixed place, whatever the header says; others where it says.
    texts = [read(_VMDK_DESCRIPTOR_AT, _VMDK_DESCRIPTOR_BYTES)]
    if descriptor_at:
        texts.append(read(descriptor_at * _SECTOR, max(1, descriptor_sectors) * _SECTOR))
    for text in texts:
        _vmdk_descriptor(text.split(b"\x00", 1)[0], field)
        if b"parentFileNameHint" in text:
            raise _points_away(field, tell("a parent disk"))
    return int(capacity) * _SECTOR


def _vmdk_descriptor(text: bytes, field: str) -> None:
    if b"createType" not in text:
        return
    told = {key.lower(): value.strip().lower() for key, value in _VMDK_LINE.findall(text)}
    if told.get(b"createtype", b"").decode("ascii", "replace") not in _VMDK_TYPES:
        raise InvalidInput.field(
            field, "is a VMDK that is not in one file; monolithicSparse and streamOptimized are taken."
        )
    if told.get(b"parentcid", b"ffffffff") != b"ffffffff":
        raise _points_away(field, tell("a parent disk"))


def _vdi(head: bytes, field: str) -> int:
    if len(head) < _SECTOR:
        raise _broken(field, "a VDI")
    (kind,) = struct.unpack_from("<I", head, 0x4C)
    (size,) = struct.unpack_from("<Q", head, 0x170)
    parent = head[0x1A8:0x1C8]
    if kind not in (1, 2) or parent.strip(b"\x00"):
        raise _points_away(field, tell("a parent disk"))
    return int(size)


def _virtual(value: Any, most: int, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise InvalidInput.field(field, "is a disk of no size.")
    if value > most:
        raise InvalidInput.field(field, f"is a disk of {value} bytes; at most {most} are taken.")
    return value


def _points_away(field: str, what: str) -> InvalidInput:
    return InvalidInput.field(
        field, f"names {what}, so it does not stand on its own. Convert it to a single file first."
    )


def _broken(field: str, what: str) -> InvalidInput:
    return InvalidInput.field(field, f"is {what} whose header is broken.")


def _qemu_says(path: Path, image_format: str, field: str) -> dict[str, Any]:
    """What ``qemu-img info`` finds, its format forced, its memory and time limited."""
    command = [
        "prlimit",
        f"--as={_MEMORY_MAX}",
        f"--cpu={_CPU_MAX_S}",
        "qemu-img",
        "info",
        "--output=json",
        "-f",
        image_format,
        # An absolute path is never taken for an address such as nbd://.
        str(path.resolve()),
    ]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_CHECK_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BackendTimeout(
            f"qemu-img did not tell within {_CHECK_TIMEOUT_S} s what the file is."
        ) from error
    except OSError as error:
        raise BackendError("qemu-img cannot be run here. Install qemu-utils.") from error
    if done.returncode != 0:
        raise InvalidInput.field(field, f"cannot be read as {image_format}: it is broken.")
    told = orjson.loads(done.stdout)
    specific = (told.get("format-specific") or {}).get("data") or {}
    if told.get("backing-filename") or specific.get("data-file"):
        raise _points_away(field, tell("another file"))
    if told.get("encrypted"):
        raise InvalidInput.field(field, "is encrypted.")
    for extent in specific.get("extents") or []:
        if Path(str(extent.get("filename", ""))).name != path.name:
            raise _points_away(field, tell("the extents of a VMDK"))
    return dict(told)
