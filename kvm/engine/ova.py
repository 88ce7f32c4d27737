"""OVA files of strangers: a tar of a descriptor, a manifest and disks, read without unpacking it.

Only the headers of the tar are walked, by rules that leave no two opinions of what it holds: plain flat
files, no links, no sparse ones, no long names, nothing twice. Nothing is ever written under a name from
inside it. Sources: POSIX.1-1988 ustar; DMTF DSP0243, 5.3 and 6.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from compute.errors import InvalidInput
from kvm.engine.ovf import OVF_MAX_BYTES, OvfMachine, ovf_read

_BLOCK = 512
_MEMBERS_MAX = 64
_MANIFEST_MAX, _EXTENSION_MAX = 64 * 1024, 16 * 1024
_CHUNK = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 _.()+@=-]{0,99}")
_LINE = re.compile(r"(SHA1|SHA256|SHA384|SHA512) ?\((.{1,100})\) ?= ?([0-9a-fA-F]{40,128})")
# What an extended header may say without changing which bytes a member has.
_EXTENSION_KEYS = frozenset({"mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment"})


@dataclass(frozen=True)
class Member:
    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Ova:
    """``disks`` in the order of the descriptor, each with where it lies in the file."""

    machine: OvfMachine
    disks: tuple[Member, ...]
    notes: tuple[str, ...]


def is_ova(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def ova_read(path: Path) -> Ova:
    """Raises ``InvalidInput`` naming what is wrong: with the tar, its manifest, or the descriptor."""
    size = path.stat().st_size
    with path.open("rb") as file:
        members = {member.name: member for member in _members(file, size)}
        described = [member for member in members.values() if member.name.lower().endswith(".ovf")]
        if len(described) != 1:
            raise _wrong(f"holds {len(described)} OVF descriptors; it must be one.")
        if described[0].size > OVF_MAX_BYTES:
            raise _wrong("has an OVF descriptor that is too large.")
        machine = ovf_read(_content(file, described[0]))
        disks = []
        for disk in machine.disks:
            found = members.get(disk.file)
            if found is None:
                raise _wrong(f"names the disk “{disk.file[:80]}”, which is not in it.")
            disks.append(found)
        if len(set(disks)) != len(disks):
            raise _wrong("uses one file for several disks.")
        checked = _manifest_check(file, members, [described[0], *disks])
    notes = () if checked else ("It had no manifest, so its content was not checked against one.",)
    return Ova(machine, tuple(disks), (*machine.notes, *notes))


def _members(file: BinaryIO, size: int) -> Iterator[Member]:
    seen: set[str] = set()
    offset = 0
    while offset + _BLOCK <= size:
        file.seek(offset)
        header = file.read(_BLOCK)
        if header == bytes(_BLOCK):
            break
        length, kind = _length(header), header[156:157]
        _sum_check(header)
        start = offset + _BLOCK
        if start + length > size:
            raise _wrong("ends in the middle of a file: it was cut off.")
        offset = start + (length + _BLOCK - 1) // _BLOCK * _BLOCK
        if kind in (b"x", b"g"):
            _extension_check(file, start, length)
            continue
        if kind not in (b"0", b"\x00"):
            raise _wrong(
                "holds something that is no plain file (a link, a folder, a device or a sparse file)."
            )
        name = _name(header)
        if name in seen or len(seen) >= _MEMBERS_MAX:
            raise _wrong(f"holds “{name[:80]}” twice." if name in seen else "holds too many files.")
        seen.add(name)
        yield Member(name, start, length)
    if not seen:
        raise _wrong("is an empty tar.")


def _name(header: bytes) -> str:
    raw = header[:100].split(b"\x00", 1)[0]
    prefix = header[345:500].split(b"\x00", 1)[0] if header[257:263] == b"ustar\x00" else b""
    name = raw.decode("utf-8", "replace").removeprefix("./")
    if prefix or not _NAME.fullmatch(name) or ".." in name:
        raise _wrong(
            f"holds a file with a name that is not taken: “{name[:80]}”. Names are plain, without folders."
        )
    return name


def _length(header: bytes) -> int:
    """Octal digits, or base 256 with the first bit set."""
    field = header[124:136]
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \x00")
    if not re.fullmatch(rb"[0-7]{1,12}", digits):
        raise _wrong("is broken: a length in it cannot be read.")
    return int(digits, 8)


def _sum_check(header: bytes) -> None:
    digits = header[148:156].strip(b" \x00")
    expected = sum(header[:148]) + 8 * 0x20 + sum(header[156:])
    if not re.fullmatch(rb"[0-7]{1,8}", digits) or int(digits, 8) != expected:
        raise _wrong("is broken: the check sum of a header is wrong.")


def _extension_check(file: BinaryIO, start: int, length: int) -> None:
    """Refused when it changes a name, a size or makes a file sparse."""
    if length > _EXTENSION_MAX:
        raise _wrong("has an extended header that is too large.")
    file.seek(start)
    rest = file.read(length)
    while rest.strip(b"\x00"):
        digits, _, _ = rest.partition(b" ")
        if not re.fullmatch(rb"[1-9][0-9]{0,5}", digits) or not len(digits) < int(digits) <= len(rest):
            raise _wrong("has an extended header that cannot be read.")
        record, rest = rest[len(digits) + 1 : int(digits)], rest[int(digits) :]
        key = record.partition(b"=")[0].decode("utf-8", "replace")
        if key.partition(".")[0] not in (*_EXTENSION_KEYS, "SCHILY", "LIBARCHIVE"):
            raise _wrong(f"has an extended header that is not taken ({key[:40]}).")


def _manifest_check(file: BinaryIO, members: dict[str, Member], needed: list[Member]) -> bool:
    """Whether there is one; then every file that is used must stand in it and be what it says."""
    found = [member for member in members.values() if member.name.lower().endswith(".mf")]
    if not found:
        return False
    if len(found) > 1 or found[0].size > _MANIFEST_MAX:
        raise _wrong("has more than one manifest, or one that is too large.")
    told: dict[str, tuple[str, str]] = {}
    for line in _content(file, found[0]).decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None and line.strip():
            raise _wrong("has a manifest that cannot be read.")
        if match is not None:
            told[match[2]] = (match[1].lower(), match[3].lower())
    for member in needed:
        if member.name not in told:
            raise _wrong(f"has a manifest without “{member.name}”.")
        algorithm, expected = told[member.name]
        if _digest(file, member, algorithm) != expected:
            raise _wrong(f"was changed or damaged: “{member.name}” is not what its manifest says.")
    return True


def _digest(file: BinaryIO, member: Member, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    file.seek(member.offset)
    left = member.size
    while left > 0 and (piece := file.read(min(_CHUNK, left))):
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


def _content(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset)
    return file.read(member.size)


def _wrong(complaint: str) -> InvalidInput:
    return InvalidInput.field("file", f"the OVA {complaint}")
