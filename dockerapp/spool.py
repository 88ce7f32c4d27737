"""Nameless files between a client and an engine.

An engine keeps a container locked while its archive is read or written: until that ends, nobody can
look at it, stop it or be inside it. So a client's pace must never be the engine's. What comes in is
put aside first and then handed over at once; what goes out is read at the engine's pace and waits
here for its reader. The files have no name: they are gone with the process that made them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from compute.errors import BackendError, PayloadTooLarge

_CHUNK = 512 * 1024
# So many pieces one call writes (IOV_MAX is 1024).
_PIECES_MAX = 1000
_MEMORY_MAX = 2 * 1024**2
# How far reading may run ahead of a slow client, and what must stay free of the disk.
_AHEAD_MAX = 4 * 1024**3
_FREE_MIN = 512 * 1024**2
_LOOK_EVERY = 64 * 1024**2


@dataclass(frozen=True)
class Spooled:
    """A whole body, ready to be sent as often as needed."""

    fd: int
    size: int

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The next one is read while the one before is being sent."""
        at, reading = 0, self._read(0)
        try:
            while at < self.size:
                chunk = await reading
                at += len(chunk)
                reading = self._read(at)
                yield chunk
        finally:
            await asyncio.gather(reading, return_exceptions=True)

    def _read(self, at: int) -> asyncio.Future[bytes]:
        return asyncio.get_running_loop().run_in_executor(None, os.pread, self.fd, _CHUNK, at)


@asynccontextmanager
async def spooled(chunks: AsyncIterator[bytes], folder: Path, max_bytes: int) -> AsyncIterator[Spooled]:
    """All of ``chunks``. Raises ``PayloadTooLarge``, and ``BackendError`` when the disk is full."""
    with _Pieces(folder) as pieces:
        async for chunk in chunks:
            await pieces.append(chunk)
            if pieces.size > max_bytes:
                raise PayloadTooLarge(f"At most {max_bytes} bytes are taken here.", limit=max_bytes)
        await pieces.flush()
        yield Spooled(pieces.fd, pieces.size)


async def ahead(chunks: AsyncGenerator[bytes, None], folder: Path) -> AsyncGenerator[bytes, None]:
    """The same chunks, taken from their source as fast as it gives them. A reader that keeps up costs
    no disk."""
    with _Pieces(folder) as pieces:
        buffer = _Ahead(chunks, pieces)
        filling = asyncio.ensure_future(buffer.fill())
        filling.add_done_callback(buffer.wake)
        try:
            while (chunk := await buffer.take(filling)) is not None:
                yield chunk
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
            await chunks.aclose()


class _Pieces:
    """Bytes appended to a file without a name, a good piece at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)
        self.fd = self._file.fileno()
        self.size = self.written = self._looked_at = 0
        self._waiting: list[bytes] = []

    def __enter__(self) -> _Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    async def append(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._waiting.append(chunk)
        if self.size - self.written >= _CHUNK or len(self._waiting) >= _PIECES_MAX:
            await self.flush()

    async def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        # In a thread: a disk that is slow must not hold up the event loop.
        await asyncio.to_thread(self._write, waiting)

    def restart(self) -> None:
        """Forget what was written; nobody reads it any more."""
        os.ftruncate(self.fd, 0)
        self.size = self.written = self._looked_at = 0

    def _write(self, pieces: list[bytes]) -> None:
        size = sum(map(len, pieces))
        if self.written + size > self._looked_at:
            self._looked_at = self.written + _LOOK_EVERY
            if shutil.disk_usage(self._folder).free < _FREE_MIN + size:
                raise _disk_full()
        try:
            done = os.pwritev(self.fd, pieces, self.written)
            self.written += done
            # Put together only what did not go at once.
            left = b"".join(pieces)[done:] if done < size else b""
            while left:
                done = os.pwrite(self.fd, left, self.written)
                self.written += done
                left = left[done:]
        except OSError as error:
            raise _disk_full() from error


class _Ahead:
    """Some chunks in memory; when these are enough, the later ones in a file."""

    def __init__(self, chunks: AsyncIterator[bytes], pieces: _Pieces) -> None:
        self._chunks, self._pieces = chunks, pieces
        self._memory: deque[bytes] = deque()
        self._in_memory = self._read = 0
        self._changed = asyncio.Event()

    async def fill(self) -> None:
        async for chunk in self._chunks:
            if self._read and self._read == self._pieces.size:
                self._pieces.restart()
                self._read = 0
            if self._read == self._pieces.size and self._in_memory < _MEMORY_MAX:
                self._memory.append(chunk)
                self._in_memory += len(chunk)
            else:
                while self._pieces.size - self._read > _AHEAD_MAX:
                    await self._wait()
                await self._pieces.append(chunk)
                await self._pieces.flush()
            self._changed.set()

    def wake(self, _: object = None) -> None:
        self._changed.set()

    async def take(self, filling: asyncio.Future[None]) -> bytes | None:
        """The next chunk; None at the end. Raises what ended the source."""
        while not self._memory and self._read == self._pieces.written:
            if filling.done():
                filling.result()
                return None
            await self._wait()
        if self._memory:
            chunk = self._memory.popleft()
            self._in_memory -= len(chunk)
            return chunk
        chunk = await asyncio.to_thread(
            os.pread, self._pieces.fd, min(_CHUNK, self._pieces.written - self._read), self._read
        )
        self._read += len(chunk)
        self._changed.set()
        return chunk

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _disk_full() -> BackendError:
    return BackendError("The disk of LibGo's own machine is full. Make room there, then try again.")
