"""A body put aside until all of it is there: in memory while it is small, else in a nameless file."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from compute.errors import BackendError, PayloadTooLarge

_MEMORY = 512 * 1024
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Spooled:
    file: IO[bytes]
    size: int

    async def chunks(self) -> AsyncIterator[bytes]:
        self.file.seek(0)
        while chunk := self.file.read(_CHUNK):
            yield chunk


@asynccontextmanager
async def spooled(chunks: AsyncIterator[bytes], folder: Path, max_bytes: int) -> AsyncIterator[Spooled]:
    """All of ``chunks``; gone at the end, and after a crash too. Raises ``PayloadTooLarge``, and
    ``BackendError`` when the disk is full."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.SpooledTemporaryFile(_MEMORY, dir=str(folder)) as file:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                raise PayloadTooLarge(
                    f"Without a length in advance at most {max_bytes} bytes are taken.", limit=max_bytes
                )
            try:
                file.write(chunk)
            except OSError as error:
                raise BackendError("The disk of LibGo's own machine is full. Make room there.") from error
        yield Spooled(file, size)
