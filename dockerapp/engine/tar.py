"""Tar archives as streams: read header by header, and written anew, without keeping their bodies.

What a client sends never reaches an engine as it came: :class:`TarFilter` reads each header, refuses
what nobody may bring in, and writes a header of its own. So there are no two opinions of what an
archive holds, ours and the engine's.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from compute.errors import InvalidInput, PolicyDenied
from compute.tell import tell

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
# Long names and extended headers are the only bodies that are kept, within this.
_EXTRA_MAX = 1024**2
_ENTRIES_MAX = 2_000_000
_NAME_MAX = 4096

_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE)
_BODILESS = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, *_DEVICES)
_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
# What in a header for all entries would change where an entry ends or goes.
_FATEFUL = ("size", "path", "linkpath")
_CAPABILITY = "SCHILY.xattr.security.capability"
_SPECIAL_BITS = 0o6000
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\x04\x22\x4d\x18": "lz4",
}


class TarParser:
    """Bytes in, cut anywhere; out come ``TarInfo`` at each entry and the pieces of its content."""

    def __init__(self) -> None:
        self.is_over = False
        self._block = b""
        self._content = self._padding = 0
        self._extra: bytearray | None = None
        self._extra_type = b""
        self._pending: dict[str, str] = {}
        self._is_first = True

    def feed(self, data: bytes) -> Iterator[tarfile.TarInfo | bytes]:
        """Raises ``InvalidInput`` for what is no plain tar."""
        at, end = 0, len(data)
        while at < end and not self.is_over:
            if self._content:
                piece = data[at : at + self._content]
                at += len(piece)
                self._content -= len(piece)
                yield from self._body(piece)
            elif self._padding:
                step = min(self._padding, end - at)
                at += step
                self._padding -= step
            else:
                piece = data[at : at + BLOCK - len(self._block)]
                at += len(piece)
                self._block += piece
                if len(self._block) == BLOCK:
                    block, self._block = self._block, b""
                    yield from self._header(block)

    def finish(self) -> None:
        """Raises ``InvalidInput`` when the archive broke off."""
        if self.is_over:
            return
        if self._is_first or self._content or self._block or self._extra is not None or self._pending:
            raise InvalidInput("The archive ends in the middle. Send the whole of it.")
        self.is_over = True

    def _body(self, piece: bytes) -> Iterator[bytes]:
        if self._extra is None:
            yield piece
            return
        self._extra += piece
        if not self._content:
            extra, self._extra = bytes(self._extra), None
            self._extended(extra)

    def _header(self, block: bytes) -> Iterator[tarfile.TarInfo | bytes]:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            if block.count(0) == BLOCK:
                self.is_over = True
                return
            raise self._no_tar(block) from error
        self._is_first = False
        if info.type in _NAMES or info.type in _EXTENDED:
            self._extra_begin(info)
            return
        self._amend(info)
        if info.type in _BODILESS:
            info.size = 0
        elif info.type not in _FILES:
            raise InvalidInput(f"The archive holds an entry of an unknown kind ({info.type!r}).")
        self._content, self._padding = info.size, -info.size % BLOCK
        yield info

    def _extra_begin(self, info: tarfile.TarInfo) -> None:
        if not 0 < info.size <= _EXTRA_MAX:
            raise InvalidInput("The archive has a header that is empty or too long.")
        self._extra, self._extra_type = bytearray(), info.type
        self._content, self._padding = info.size, -info.size % BLOCK

    def _extended(self, extra: bytes) -> None:
        if self._extra_type in _NAMES:
            key = "path" if self._extra_type == tarfile.GNUTYPE_LONGNAME else "linkpath"
            self._pending[key] = extra.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
            return
        records = _pax_records(extra)
        if self._extra_type == tarfile.XGLTYPE:
            if any(key in _FATEFUL or key.startswith("GNU.sparse") for key in records):
                raise InvalidInput(
                    "The archive has a header for all entries that changes their sizes or names."
                )
            return
        if any(key.startswith("GNU.sparse") for key in records):
            raise InvalidInput("The archive holds sparse files in GNU's own form. Make it without --sparse.")
        self._pending.update(records)

    def _amend(self, info: tarfile.TarInfo) -> None:
        """What extended headers said of the entry that now comes."""
        pending, self._pending = self._pending, {}
        info.name = pending.get("path", info.name)
        info.linkname = pending.get("linkpath", info.linkname)
        try:
            info.size = int(pending.get("size", info.size))
            info.uid, info.gid = int(pending.get("uid", info.uid)), int(pending.get("gid", info.gid))
            info.mtime = float(pending.get("mtime", info.mtime))
        except ValueError as error:
            raise InvalidInput("The archive has a header with a number that is none.") from error
        info.uname, info.gname = pending.get("uname", info.uname), pending.get("gname", info.gname)
        info.pax_headers = {key: value for key, value in pending.items() if key == _CAPABILITY}
        if info.size < 0 or not -(2**40) < info.mtime < 2**40:
            raise InvalidInput("The archive has a header with an impossible number.")

    def _no_tar(self, block: bytes) -> InvalidInput:
        if not self._is_first:
            return InvalidInput("The archive is damaged: a header does not fit its check sum.")
        for magic, kind in _COMPRESSED.items():
            if block.startswith(magic):
                return InvalidInput(f"The body is compressed ({kind}). Send a plain, uncompressed tar.")
        return InvalidInput("The body is no tar archive. Send a plain, uncompressed tar.")


def _pax_records(extra: bytes) -> dict[str, str]:
    """``"<length> <key>=<value>\\n"``, again and again (POSIX.1-2001, pax)."""
    found: dict[str, str] = {}
    while extra.strip(b"\0"):
        digits, space, _ = extra.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 and space else 0
        record, extra = extra[:length], extra[length:]
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        if not equals or not record.endswith(b"\n") or len(record) != length:
            raise InvalidInput("The archive has an extended header that cannot be read.")
        found[key.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
    return found


class TarFilter:
    """Bytes of a client's archive in, bytes for the engine out; raises at the first entry that may
    not be. ``allow_special``: devices, setuid files and file capabilities are let in."""

    def __init__(self, *, allow_special: bool) -> None:
        self._parser = TarParser()
        self._allow_special = allow_special
        self._padding = 0
        self.entries = 0
        self.content_bytes = 0

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        for item in self._parser.feed(data):
            if isinstance(item, bytes):
                self.content_bytes += len(item)
                out.append(item)
                continue
            self.entries += 1
            _check(item, self._allow_special, self.entries)
            out.append(bytes(self._padding))
            self._padding = -item.size % BLOCK
            out.append(header(item))
        return b"".join(out)

    def finish(self) -> bytes:
        self._parser.finish()
        return bytes(self._padding) + END


def header(info: tarfile.TarInfo) -> bytes:
    """The header blocks of one entry."""
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _check(info: tarfile.TarInfo, allow_special: bool, count: int) -> None:
    """Raises ``InvalidInput``, ``PolicyDenied``; makes the names relative."""
    if count > _ENTRIES_MAX:
        raise InvalidInput(f"The archive has more than {_ENTRIES_MAX} entries.")
    info.name, info.mode = _inside(info.name), info.mode & 0o7777
    if info.type == tarfile.LNKTYPE:
        info.linkname = _inside(info.linkname)
    if "\0" in info.linkname or len(info.linkname) > _NAME_MAX:
        raise InvalidInput("The archive has a link whose target is too long or holds a null character.")
    if allow_special:
        return
    shown = printable(info.name)
    if info.type in _DEVICES:
        raise _denied(shown, "a device", "archive_device")
    if info.type != tarfile.DIRTYPE and info.mode & _SPECIAL_BITS:
        raise _denied(shown, tell("a setuid or setgid file"), "archive_setuid")
    if info.pax_headers:
        raise _denied(shown, tell("a file with capabilities"), "archive_capabilities")


def _denied(name: str, what: str, rule: str) -> PolicyDenied:
    return PolicyDenied(
        f"“{name}” in the archive is {what}, which only administrators may bring in.",
        rule=rule,
        entry=name,
    )


def _inside(name: str) -> str:
    """Below the folder it is unpacked in. Raises ``InvalidInput``."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name or len(name) > _NAME_MAX:
        raise InvalidInput(
            f"“{printable(name)}” in the archive leads out of its folder, or is no name.",
            entry=printable(name),
        )
    return "/".join(parts) or "."


def printable(name: str) -> str:
    """A name that may hold anything, for a message."""
    clean = "".join(c if c.isprintable() else "�" for c in name)
    return clean if len(clean) <= 120 else f"{clean[:117]}…"
