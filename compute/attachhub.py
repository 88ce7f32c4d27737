"""One attachment to the first process of an instance, shared by all who look at it.

Everyone sees the same output. One at a time writes: the first who does, until they leave or another
takes over.
"""

from __future__ import annotations

import asyncio
import uuid
import weakref
from collections import deque

from compute.backends.base import Backend
from compute.backends.types import ByteStream
from compute.errors import InvalidState
from compute.models import Instance

Piece = tuple[int, bytes]
# What one viewer may have waiting, and what a newcomer is shown of before.
_WAITING_MAX = 1024 * 1024
_PAST_MAX = 16 * 1024
_LOST = (2, b"\r\n[... output was dropped: it came faster than it was read ...]\r\n")


class _Pieces:
    """Output in order, at most so much of it; the oldest goes first."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._items: deque[Piece] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, piece: Piece) -> bool:
        """False when something had to go."""
        self._items.append(piece)
        self._size += len(piece[1])
        is_whole = True
        while self._size > self._most and len(self._items) > 1:
            self.take()
            is_whole = False
        return is_whole

    def take(self) -> Piece:
        piece = self._items.popleft()
        self._size -= len(piece[1])
        return piece

    def all(self) -> list[Piece]:
        return list(self._items)


class Attached:
    """One viewer."""

    def __init__(self, shared: _Shared, username: str) -> None:
        self._shared, self.username = shared, username
        self._pieces = _Pieces(_WAITING_MAX)
        self._wake = asyncio.Event()
        self._over = self._lost = False
        # Set when another writes, or none: who looks on is told.
        self.changed = asyncio.Event()
        self.changed.set()

    @property
    def tty(self) -> bool:
        return self._shared.stream.tty

    @property
    def takes_input(self) -> bool:
        return self._shared.stream.takes_input

    @property
    def writer(self) -> str:
        """Who writes; empty when nobody does."""
        return self._shared.writer.username if self._shared.writer else ""

    @property
    def is_writer(self) -> bool:
        return self._shared.writer is self

    def deliver(self, piece: Piece) -> None:
        self._lost |= not self._pieces.put(piece)
        self._wake.set()

    def end(self) -> None:
        self._over = True
        self._wake.set()

    async def read_from(self) -> Piece:
        """The next output, 1 or 2 and bytes; ``b""`` at the end."""
        while not self._pieces and not self._lost:
            if self._over:
                return 1, b""
            self._wake.clear()
            await self._wake.wait()
        if self._lost:
            self._lost = False
            return _LOST
        return self._pieces.take()

    async def write(self, data: bytes) -> None:
        """Raises ``InvalidState`` when another writes or nothing is read there, ``BackendUnavailable``
        at the end."""
        if not self.takes_input:
            raise InvalidState("Its input is closed: it was made without stdin_open.", state="running")
        if self._shared.writer is None:
            self.take()
        if not self.is_writer:
            raise InvalidState(f"{self.writer} writes here; take over first.", state="running")
        await self._shared.stream.write(data)

    def take(self) -> None:
        """From now on this one writes."""
        self._shared.writer_set(self)

    async def resize(self, rows: int, cols: int) -> None:
        """Only who writes says how large the terminal is."""
        if self.is_writer or self._shared.writer is None:
            await self._shared.stream.resize(rows, cols)

    async def leave(self) -> None:
        """The last one lets go of the process, which goes on."""
        await self._shared.leave(self)


class _Shared:
    """The attachment itself."""

    def __init__(self, key: uuid.UUID, stream: ByteStream) -> None:
        self._key, self.stream = key, stream
        self.viewers: set[Attached] = set()
        self.writer: Attached | None = None
        self._past = _Pieces(_PAST_MAX)
        self.is_over = False
        self._task = asyncio.get_running_loop().create_task(self._read())

    def join(self, username: str) -> Attached:
        viewer = Attached(self, username)
        for piece in self._past.all():
            viewer.deliver(piece)
        self.viewers.add(viewer)
        return viewer

    def writer_set(self, viewer: Attached | None) -> None:
        self.writer = viewer
        for each in self.viewers:
            each.changed.set()

    async def leave(self, viewer: Attached) -> None:
        self.viewers.discard(viewer)
        if self.writer is viewer:
            self.writer_set(None)
        if not self.viewers:
            self._forget()
            self._task.cancel()
            await self.stream.close()

    async def _read(self) -> None:
        while True:
            piece = await self.stream.read_from()
            if not piece[1]:
                break
            self._past.put(piece)
            for viewer in self.viewers:
                viewer.deliver(piece)
        self.is_over = True
        self._forget()
        for viewer in self.viewers:
            viewer.end()

    def _forget(self) -> None:
        known = _open[asyncio.get_running_loop()]
        if known.get(self._key) is self:
            del known[self._key]


_open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[uuid.UUID, _Shared]] = (
    weakref.WeakKeyDictionary()
)
_opening: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()


async def join(instance: Instance, backend: Backend, username: str) -> Attached:
    """Raises ``ComputeError`` when it cannot be attached to."""
    loop = asyncio.get_running_loop()
    known = _open.setdefault(loop, {})
    async with _opening.setdefault(loop, asyncio.Lock()):
        shared = known.get(instance.pk)
        if shared is None or shared.is_over:
            shared = known[instance.pk] = _Shared(instance.pk, await backend.attach_open(instance.engine_id))
        return shared.join(username)


def attachments_open() -> int:
    """How many there are in this event loop."""
    return len(_open.get(asyncio.get_running_loop(), {}))
