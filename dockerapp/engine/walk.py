"""What is in a folder, by the headers of its archive: for containers that do not run or have no shell."""

from __future__ import annotations

import tarfile
import time
from datetime import datetime, timezone

from compute.backends.types import FileEntry, FileListing
from dockerapp.engine.tar import TarParser

# An archive comes folder by folder, contents and all: a big tree is not read to its end.
_BYTES_MAX, _WITHIN_S = 256 * 1024**2, 4.0


class Walk:
    """Feed it the archive of one folder; ``False`` when it has seen enough."""

    def __init__(self, limit: int) -> None:
        self._parser, self._limit = TarParser(), limit
        self._found: dict[str, FileEntry] = {}
        self._bytes, self._deadline = 0, time.monotonic() + _WITHIN_S
        self._is_truncated = False
        self._root: str | None = None

    def feed(self, chunk: bytes) -> bool:
        self._bytes += len(chunk)
        for item in self._parser.feed(chunk):
            if isinstance(item, tarfile.TarInfo):
                self._add(item)
        if self._parser.is_over:
            return False
        if len(self._found) > self._limit or self._bytes > _BYTES_MAX or time.monotonic() > self._deadline:
            self._is_truncated = True
            return False
        return True

    def listing(self) -> FileListing:
        entries = sorted(self._found.values(), key=lambda entry: entry.name)
        # All of a small archive may come at once, its end with what is too much.
        is_truncated = self._is_truncated or not self._parser.is_over or len(entries) > self._limit
        return FileListing(tuple(entries[: self._limit]), is_truncated, "archive")

    def _add(self, info: tarfile.TarInfo) -> None:
        """The first entry is the folder itself, and all others begin with its name."""
        if self._root is None:
            self._root = info.name.strip("/").removeprefix("./").strip("./") or ""
            return
        name = info.name.strip("/").removeprefix("./")
        inside = name.removeprefix(f"{self._root}/") if self._root else name
        if inside and "/" not in inside and inside != ".":
            self._found[inside] = _entry(info, inside)


def _entry(info: tarfile.TarInfo, name: str) -> FileEntry:
    return FileEntry(
        name=name,
        type=_type(info),
        size=info.size,
        mode=info.mode & 0o7777,
        uid=info.uid,
        gid=info.gid,
        modified_at=datetime.fromtimestamp(info.mtime, timezone.utc),
        link_target=info.linkname if info.issym() else "",
    )


def _type(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "directory"
    if info.issym():
        return "symlink"
    if info.ischr() or info.isblk():
        return "device"
    return "fifo" if info.isfifo() else "file"
