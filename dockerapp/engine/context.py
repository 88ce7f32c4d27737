"""A build context on its way to the engine: unpacked from gzip, and its Dockerfile looked at.

Nothing is kept but the Dockerfile; the rest streams on. The whole of the context reaches the engine
only when the look was satisfied, and the engine begins only then.
"""

from __future__ import annotations

import posixpath
import zlib
from collections.abc import Callable, Iterable, Iterator

from compute.errors import InvalidInput, PayloadTooLarge, PolicyDenied
from dockerapp.dockerfile import SIZE_MAX

_GZIP = b"\x1f\x8b"
_OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}
_BLOCK = 512
_PIECE = 256 * 1024
_EXTENDED_MAX = 64 * 1024
_MAGIC_AT = slice(257, 262)
_REGULAR, _LINKS = (b"0", b"\x00", b"7"), (b"1", b"2")


def tar_plain(body: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """The tar itself, also of one packed by gzip. Raises ``InvalidInput`` for an empty body or another
    packing, ``PayloadTooLarge`` when it unpacks to more than ``max_bytes``."""
    chunks = iter(body)
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= 6:
            break
    if not first:
        raise InvalidInput("The body is empty. Send a tar.")
    for magic, name in _OTHERS.items():
        if first.startswith(magic):
            raise InvalidInput(f"The body is packed by {name}. Send a plain tar, or one packed by gzip.")
    whole = _chained(first, chunks)
    yield from _unpacked(whole, max_bytes) if first.startswith(_GZIP) else whole


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _unpacked(packed: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    machine, size = zlib.decompressobj(wbits=31), 0
    try:
        for chunk in packed:
            piece = machine.decompress(chunk, _PIECE)
            while piece:
                size += len(piece)
                if size > max_bytes:
                    raise PayloadTooLarge(
                        f"It unpacks to more than the {max_bytes} bytes that are taken here."
                    )
                yield piece
                piece = (
                    machine.decompress(machine.unconsumed_tail, _PIECE) if machine.unconsumed_tail else b""
                )
    except zlib.error as error:
        raise InvalidInput("The body is not whole: it cannot be unpacked by gzip.") from error
    if not machine.eof:
        raise InvalidInput("The body is not whole: it ends before its packing does.")


def context_watched(tar: Iterable[bytes], dockerfile: str, look: Callable[[str], None]) -> Iterator[bytes]:
    """The same bytes; ``look`` gets the text of each file that could be the Dockerfile, and raises to
    refuse. Raises ``PolicyDenied`` when links or odd entries would hide which one it is."""
    watch = _Watch(posixpath.normpath(dockerfile), look)
    for chunk in tar:
        watch.feed(chunk)
        yield chunk
    watch.finish()


class _Watch:
    """Walks the headers of a tar as it passes."""

    def __init__(self, wanted: str, look: Callable[[str], None]) -> None:
        self._wanted, self._look = wanted, look
        self._buffer, self._skip, self._is_over = b"", 0, False
        self._seen = False

    def feed(self, chunk: bytes) -> None:
        self._buffer += chunk
        while not self._is_over:
            if self._skip:
                passed = min(self._skip, len(self._buffer))
                self._buffer, self._skip = self._buffer[passed:], self._skip - passed
                if self._skip:
                    return
            if len(self._buffer) < _BLOCK or not self._entry():
                return
        self._buffer = b""

    def finish(self) -> None:
        if not self._seen:
            raise InvalidInput.field("dockerfile", f"there is no “{self._wanted[:100]}” in the context.")

    def _entry(self) -> bool:
        """Take the next header; False when more bytes are needed for it."""
        header = self._buffer[:_BLOCK]
        if not header.strip(b"\x00"):
            # What follows the end mark is not unpacked by anyone.
            self._is_over = True
            return True
        if header[_MAGIC_AT] != b"ustar":
            raise InvalidInput("The context is not a tar of a known form. Make it with tar --format=ustar.")
        kind, size = header[156:157], _number(header[124:136])
        if kind not in (*_REGULAR, *_LINKS, b"5"):
            return self._extended(kind, size)
        # Some forms of tar use the prefix of a name, others keep something else there.
        names = {_name_of(header[:100]), _name_of(header[345:500], header[:100])}
        if kind in _LINKS:
            self._link_check(names)
        is_dockerfile = self._wanted in names and kind in _REGULAR
        if is_dockerfile and not self._dockerfile(size):
            return False
        self._buffer = self._buffer[_BLOCK:]
        self._skip = 0 if kind in (*_LINKS, b"5") else _padded(size)
        return True

    def _dockerfile(self, size: int) -> bool:
        if size > SIZE_MAX:
            raise InvalidInput.field("dockerfile", f"may have {SIZE_MAX} bytes at most.")
        if len(self._buffer) < _BLOCK + size:
            return False
        self._look(self._buffer[_BLOCK : _BLOCK + size].decode("utf-8", "replace"))
        self._seen = True
        return True

    def _extended(self, kind: bytes, size: int) -> bool:
        """Long names and other attributes of the next entry: they may not touch the Dockerfile."""
        if kind not in (b"x", b"g", b"L", b"K"):
            raise InvalidInput("The context holds an entry that is no file, folder or link. Leave it out.")
        if size > _EXTENDED_MAX:
            raise InvalidInput("The context holds a name that is too long.")
        if len(self._buffer) < _BLOCK + size:
            return False
        data = self._buffer[_BLOCK : _BLOCK + size]
        if kind in (b"x", b"g"):
            records = _records(data)
            if "size" in records or any(key.startswith("GNU.sparse") for key in records):
                raise InvalidInput("The context holds a file of a form that LibGo does not take here.")
            data = records.get("path", b"")
        if kind != b"K" and _name_of(data) == self._wanted:
            raise _hidden(self._wanted)
        self._buffer, self._skip = self._buffer[_BLOCK:], _padded(size)
        return True

    def _link_check(self, names: set[str]) -> None:
        if any(name == self._wanted or self._wanted.startswith(f"{name}/") for name in names):
            raise _hidden(self._wanted)


def _hidden(wanted: str) -> PolicyDenied:
    return PolicyDenied(
        f"“{wanted[:100]}” must be a plain file in plain folders of the context, so that it can be checked.",
        rule="dockerfile_hidden",
    )


def _name_of(*fields: bytes) -> str:
    """The path that fields of a header add up to, as it will be unpacked."""
    parts = [field.split(b"\x00", 1)[0].decode("utf-8", "replace") for field in fields]
    return posixpath.normpath("/".join(part for part in parts if part).lstrip("/"))


def _records(data: bytes) -> dict[str, bytes]:
    """``length key=value`` lines of a pax header."""
    found: dict[str, bytes] = {}
    while data:
        head, _, _ = data.partition(b" ")
        length = int(head) if head.isdigit() else 0
        key, equals, value = data[len(head) + 1 : length].rstrip(b"\n").partition(b"=")
        if length <= len(head) + 1 or length > len(data) or not equals:
            raise InvalidInput("The context is not a tar: a header in it cannot be read.")
        found[key.decode("utf-8", "replace")] = value
        data = data[length:]
    return found


def _number(field: bytes) -> int:
    """Octal, or base 256 for what is larger than eight gigabytes."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.split(b"\x00", 1)[0].strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError as error:
        raise InvalidInput("The context is not a tar: a size in it cannot be read.") from error


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
