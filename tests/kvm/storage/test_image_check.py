"""Images that name other files of the host, are encrypted or absurd: refused by their header alone."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compute.errors import InvalidInput
from kvm.engine.image_check import image_check
from tests.attacks.catalogue import attack

_MIB = 1024**2


def _img(*arguments: str) -> None:
    subprocess.run(["qemu-img", *arguments], check=True, capture_output=True)


def _made(path: Path, image_format: str, *options: str) -> Path:
    _img("create", "-q", "-f", image_format, *options, str(path), "8M")
    return path


def _patched(path: Path, offset: int, data: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return path


def _refused(path: Path, word: str, wanted: str = "") -> None:
    with pytest.raises(InvalidInput) as caught:
        image_check(path, wanted=wanted)
    assert word in str(caught.value.details["fields"])


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("qcow2", ()),
        ("qcow2", ("-o", "compat=0.10")),
        ("qcow2", ("-o", "cluster_size=2M")),
        ("vmdk", ()),
        ("vmdk", ("-o", "subformat=streamOptimized")),
        ("vdi", ()),
        ("vdi", ("-o", "static=on")),
        ("raw", ()),
    ],
)
def test_images_that_stand_on_their_own_are_taken(
    tmp_path: Path, image_format: str, options: tuple[str, ...]
) -> None:
    found = image_check(_made(tmp_path / "disk", image_format, *options), wanted=image_format)
    assert (found.format, found.virtual_bytes) == (image_format, 8 * _MIB)


def test_an_iso_is_known_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\x00" * 32769 + b"CD001" + b"\x00" * 4096)
    assert image_check(path, wanted="iso").format == "iso"
    assert image_check(path, wanted="raw").format == "iso"


def _backing(folder: Path) -> Path:
    base = _made(folder / "base", "raw")
    _img("create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(folder / "disk"))
    return folder / "disk"


def _backing_of_absent(folder: Path) -> Path:
    _img("create", "-q", "-u", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", str(folder / "disk"), "1M")
    return folder / "disk"


def _data_file(folder: Path) -> Path:
    return _made(folder / "disk", "qcow2", "-o", f"data_file={folder / 'data'}")


def _data_file_by_name_alone(folder: Path) -> Path:
    """The extension without the feature bit."""
    path = _made(folder / "disk", "qcow2")
    return _patched(path, 112, struct.pack(">II", 0x44415441, 8) + b"/etc/pwd")


def _vmdk_parent(folder: Path) -> Path:
    path = _made(folder / "disk", "vmdk")
    text = path.read_bytes()[0x200 : 0x200 + 2048].split(b"\x00")[0]
    changed = text.replace(b"parentCID=ffffffff", b"parentCID=12345678")
    assert changed != text
    return _patched(path, 0x200, changed + b'parentFileNameHint="/etc/shadow"\n')


def _vmdk_hidden_parent(folder: Path) -> Path:
    """QEMU reads a fixed place; the header may send other readers somewhere else."""
    path = _made(folder / "disk", "vmdk")
    return _patched(path, 28, struct.pack("<QQ", 60, 4)) and _patched(
        path, 0x200 + 4096, b'\nparentFileNameHint="/x"'
    )


def _vmdk_flat(folder: Path) -> Path:
    return _made(folder / "disk", "vmdk", "-o", "subformat=monolithicFlat")


def _vmdk_without_capacity(folder: Path) -> Path:
    return _patched(_made(folder / "disk", "vmdk"), 12, bytes(8))


def _vdi_child(folder: Path) -> Path:
    return _patched(_made(folder / "disk", "vdi"), 0x4C, struct.pack("<I", 4))


@attack(
    "S56 S57",
    "qcow2, VMDK and VDI that stand on other files, openly and hidden",
    refused="refused before QEMU sees it",
)
@pytest.mark.parametrize(
    "make",
    [
        _backing,
        _backing_of_absent,
        _data_file,
        _data_file_by_name_alone,
        _vmdk_parent,
        _vmdk_hidden_parent,
        _vmdk_flat,
        _vmdk_without_capacity,
        _vdi_child,
    ],
)
def test_an_image_that_names_another_file_is_refused(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(InvalidInput, match="file"):
        image_check(make(tmp_path))


def test_encrypted_images_are_refused(tmp_path: Path) -> None:
    _refused(_patched(_made(tmp_path / "disk", "qcow2"), 32, struct.pack(">I", 2)), "encrypted")
    luks = tmp_path / "luks"
    luks.write_bytes(b"LUKS\xba\xbe" + bytes(5000))
    _refused(luks, "encrypted")


@attack("S52", "disk images with absurd sizes and tables", refused="refused")
def test_absurd_and_broken_images_are_refused(tmp_path: Path) -> None:
    path = _made(tmp_path / "disk", "qcow2")
    _refused(_patched(path, 24, struct.pack(">Q", 2**62)), "at most")
    _refused(_patched(path, 24, bytes(8)), "no size")
    short = tmp_path / "short"
    for head in (b"QFI\xfb\x00", b"KDMV\x01", b"QFI\xfb" + struct.pack(">I", 3) + bytes(70)):
        short.write_bytes(head)
        with pytest.raises(InvalidInput):
            image_check(short)
    short.write_bytes(b"")
    _refused(short, "empty")


@attack(
    "S58", "a raw upload that is a VMDK text, VHD or VDI", refused="known by its content, never by probing"
)
@pytest.mark.parametrize("image_format", ["qcow2", "vmdk", "vdi", "vpc", "qed"])
def test_a_raw_image_is_never_one_that_only_says_so(tmp_path: Path, image_format: str) -> None:
    """What bears another format's mark would be opened as that by the next program that guesses."""
    path = _made(tmp_path / "disk", image_format)
    with pytest.raises(InvalidInput):
        image_check(path, wanted="raw")
