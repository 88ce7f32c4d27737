"""OVA files of strangers: refused with the reason, whatever they try."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from compute.errors import InvalidInput
from kvm.engine.imports import import_look
from kvm.engine.ovf import OvfDisk, OvfMachine, ovf_read, ovf_xml
from tests.attacks.catalogue import attack

# A header of a qcow2, version 2, of one MiB; nothing behind it.
_QCOW2 = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, 2**20, 0, 1, 0, 0, 0, 0, 0).ljust(
    65536, b"\0"
)
_BACKED = struct.pack(
    ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 72, 11, 16, 2**20, 0, 1, 0, 0, 0, 0, 0
) + b"/etc/shadow".ljust(65536, b"\0")


def _ovf(name: str = "disk.img") -> bytes:
    return ovf_xml(OvfMachine("web", 1, 2**28, [OvfDisk(name, 2**20, 65536)], ["lan"]))


def _ova(path: Path, *members: tuple[str, bytes], **header: Any) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if header:
            odd = tarfile.TarInfo(header.pop("name", "odd"))
            for key, value in header.items():
                setattr(odd, key, value)
            tar.addfile(odd)
    return path


def _refused(path: Path, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        import_look(path)
    assert "file" in refused.value.details["fields"]


def test_a_plain_one_is_read(tmp_path: Path) -> None:
    look = import_look(_ova(tmp_path / "a.ova", ("web.ovf", _ovf()), ("disk.img", _QCOW2)))
    assert (look.format, look.name, look.cpus, look.memory_bytes, look.nics) == ("ova", "web", 1, 2**28, 1)
    assert [(disk.format, disk.virtual_bytes, disk.size) for disk in look.disks] == [("qcow2", 2**20, 65536)]
    assert "no manifest" in look.notes[-1]


@attack("S54", "names in an OVA that lead elsewhere", refused="refused")
@pytest.mark.parametrize(
    "name", ["../disk.img", "/etc/cron.d/x", "a/disk.img", "..", ".hidden", "a\\..\\b", "x" * 101]
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    _refused(
        _ova(tmp_path / "a.ova", ("web.ovf", _ovf()), (name, _QCOW2)),
        "name that is not taken|no plain file",
    )


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"S"]
)
def test_what_is_no_plain_file(tmp_path: Path, kind: bytes) -> None:
    path = _ova(tmp_path / "a.ova", ("web.ovf", _ovf()), type=kind, linkname="/etc/shadow")
    _refused(path, "no plain file")


@attack("S52 S54", "headers of an OVA that change names or make a bomb", refused="refused")
def test_extended_headers_that_change_names_or_make_a_bomb(tmp_path: Path) -> None:
    for headers in (
        {"path": "../x"},
        {"size": "99999999999"},
        {"GNU.sparse.major": "1", "GNU.sparse.size": "9" * 15},
    ):
        path = tmp_path / "a.ova"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            info = tarfile.TarInfo("web.ovf")
            info.size, info.pax_headers = len(_ovf()), headers
            tar.addfile(info, io.BytesIO(_ovf()))
        _refused(path, "extended header")


@attack("S52", "lengths of an OVA that lie", refused="refused")
def test_lengths_that_lie(tmp_path: Path) -> None:
    path = _ova(tmp_path / "a.ova", ("web.ovf", _ovf()), ("disk.img", _QCOW2))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(_ovf()) + 2048])
    _refused(path, "cut off")
    path.write_bytes(whole.replace(b"disk.img\0", b"disk.imG\0", 1))
    _refused(path, "check sum")
    _refused(_ova(path, ("web.ovf", _ovf()), ("disk.img", _QCOW2), ("disk.img", _QCOW2)), "twice")
    _refused(_ova(path, ("web.ovf", _ovf("other.img")), ("disk.img", _QCOW2)), "not in it")
    _refused(_ova(path, ("a.ovf", _ovf()), ("b.ovf", _ovf())), "2 OVF descriptors")


def test_a_manifest_that_does_not_hold(tmp_path: Path) -> None:
    parts = [("web.ovf", _ovf()), ("disk.img", _QCOW2)]
    right = "".join(f"SHA256({name})= {hashlib.sha256(data).hexdigest()}\n" for name, data in parts)
    look = import_look(_ova(tmp_path / "good.ova", parts[0], ("web.mf", right.encode()), parts[1]))
    assert list(look.notes) == []
    wrong = right.replace(right[-20:-10], "0" * 10).encode()
    _refused(_ova(tmp_path / "a.ova", parts[0], ("web.mf", wrong), parts[1]), "changed or damaged")
    short = right.splitlines()[0].encode()
    _refused(_ova(tmp_path / "b.ova", parts[0], ("web.mf", short), parts[1]), "manifest without")


@attack("S56 S57", "an OVA whose disks name files of the host", refused="refused")
def test_disks_that_name_other_files(tmp_path: Path) -> None:
    _refused(
        _ova(tmp_path / "a.ova", ("web.ovf", _ovf()), ("disk.img", _BACKED)), "backing|another file|other"
    )
    lone = tmp_path / "disk.qcow2"
    lone.write_bytes(_BACKED)
    _refused(lone, "backing|another file|other")
    described = b'# Disk DescriptorFile\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'
    lone.write_bytes(described)
    _refused(lone, "VMDK")


@attack("S51", "OVF with DTD, entities, a billion laughs", refused="refused")
def test_descriptors_that_reach_out_or_blow_up(tmp_path: Path) -> None:
    plain = _ovf().decode()
    fetching = plain.replace("?>", '?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', 1)
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(9))
    bomb = plain.replace("?>", f"?><!DOCTYPE x [{laughs}]>", 1).replace("<Name>web", "<Name>&a8;")
    for text in (fetching.replace("<Name>web", "<Name>&e;"), bomb):
        with pytest.raises(InvalidInput, match="document type|well-formed"):
            ovf_read(text.encode())
    for broken in (b"", b"<a/>", b"<Envelope", plain.replace("vmdisk1", "gone", 1).encode()):
        with pytest.raises(InvalidInput):
            ovf_read(broken)


def test_unknown_hardware_is_left_out_with_a_note() -> None:
    item = "<Item><rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceType>35</rasd:ResourceType></Item>"
    told = ovf_read(_ovf().decode().replace("<vmw:Config", f"{item}<vmw:Config", 1).encode())
    assert list(told.notes) == ["Left out: sound."]
