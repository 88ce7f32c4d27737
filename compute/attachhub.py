"""One stream of an instance, shared by all who look at it: its first process, or its serial line.

Everyone sees the same output. One at a time writes: the first who does, until they leave or another
takes over.
"""

from __future__ import annotations

import asyncio
import re
import uuid
import weakref
from collections import deque
from collections.abc import Awaitable, Callable

from compute.backends.types import ByteStream
from compute.errors import ComputeError, InvalidState

Piece = tuple[int, bytes]
# Which stream of which instance.
Key = tuple[str, uuid.UUID]
# What one viewer may have waiting, and what a newcomer is shown of before.
_WAITING_MAX = 1024 * 1024
_PAST_MAX = 96 * 1024
# Questions to a terminal (ECMA-48 and xterm: attributes, reports, colours, settings). Shown again to
# who comes later, they would be answered again, and the answers typed into the instance.
_QUESTIONS = re.compile(
    rb"\x1b\[[0-9;?>=]*[cn]|\x1b\[[0-9;]*[tx]|\x1b\[\?[0-9;]*\$p|\x05|"
    rb"\x1b\][^\x07\x1b]{0,256}\?(?:\x07|\x1b\\)|\x1bP[^\x1b]{0,256}\x1b\\"
)
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
        self.problem: ComputeError | None = None
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

    def end(self, problem: ComputeError | None = None) -> None:
        """There will be no more; ``problem`` says why unless it simply ended."""
        self._over, self.problem = True, problem
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
        """The last one lets go of the stream; what is behind it goes on."""
        await self._shared.leave(self)


class _Shared:
    """The stream itself."""

    def __init__(self, key: Key, stream: ByteStream) -> None:
        self._key, self.stream = key, stream
        self.viewers: set[Attached] = set()
        self.writer: Attached | None = None
        self._past = _Pieces(_PAST_MAX)
        self.is_over = False
        self._task = asyncio.get_running_loop().create_task(self._read())

    def join(self, username: str) -> Attached:
        viewer = Attached(self, username)
        for channel, data in self._past.all():
            if shown := _QUESTIONS.sub(b"", data):
                viewer.deliver((channel, shown))
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
        problem: ComputeError | None = None
        try:
            while (piece := await self.stream.read_from())[1]:
                self._past.put(piece)
                for viewer in self.viewers:
                    viewer.deliver(piece)
        except ComputeError as error:
            problem = error
        self.is_over = True
        self._forget()
        for viewer in self.viewers:
            viewer.end(problem)

    def _forget(self) -> None:
        known = _open[asyncio.get_running_loop()]
        if known.get(self._key) is self:
            del known[self._key]


_open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, _Shared]] = weakref.WeakKeyDictionary()
# One lock for each stream, so that an engine that hangs keeps nobody from the others.
_opening: weakref.WeakValueDictionary[tuple[int, Key], asyncio.Lock] = weakref.WeakValueDictionary()


async def join(key: Key, username: str, open_: Callable[[], Awaitable[ByteStream]]) -> Attached:
    """One more who looks at the stream that ``open_`` opens for the first. Raises ``ComputeError`` when
    it cannot be opened."""
    loop = asyncio.get_running_loop()
    known = _open.setdefault(loop, {})
    lock = _opening.setdefault((id(loop), key), asyncio.Lock())
    async with lock:
        shared = known.get(key)
        if shared is None or shared.is_over:
            shared = known[key] = _Shared(key, await open_())
        return shared.join(username)


def attachments_open() -> int:
    """How many there are in this event loop."""
    return len(_open.get(asyncio.get_running_loop(), {}))
