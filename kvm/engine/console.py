"""The serial console of a domain, one stream of libvirt shared by everyone who looks at it.

libvirt lets one reader in at a time; the first viewer opens the stream, each sees all of it, and
the last one closes it. Callbacks come on libvirt's thread and are handed to the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

import libvirt

from compute.backends.types import ByteStream
from compute.errors import BackendUnavailable
from kvm.engine.connection import Connection
from kvm.engine.domains import active_require, lookup
from kvm.engine.logs import tail_bytes

_CHUNK = 16 * 1024
_WOULD_BLOCK = -2
_REPLAY_BYTES = 8 * 1024
# A viewer that reads nothing loses the oldest output, marked, instead of filling the memory.
_PIECES_MAX = 512
_LOST = b"\r\n[... output was dropped ...]\r\n"

_hubs: dict[tuple[str, str], _Hub] = {}
_lock = threading.Lock()


class _Hub:
    """One open console stream and its viewers."""

    def __init__(self, connection: Connection, engine_id: str) -> None:
        self._connection, self._engine_id = connection, engine_id
        self._stream: libvirt.virStream | None = None
        self._write_lock = threading.Lock()
        self.viewers: set[ConsoleStream] = set()

    def open(self) -> None:
        """Take the console, also from someone outside LibGo."""

        def method(conn: libvirt.virConnect) -> libvirt.virStream:
            stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
            lookup(conn, self._engine_id).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
            return stream

        self._stream = self._connection.call(method)
        wanted = (
            libvirt.VIR_STREAM_EVENT_READABLE
            | libvirt.VIR_STREAM_EVENT_ERROR
            | libvirt.VIR_STREAM_EVENT_HANGUP
        )
        self._stream.eventAddCallback(wanted, self._ready, None)

    def write(self, data: bytes) -> None:
        """Send it all; the guest's UART is slow, so this may take a while and runs on a thread."""
        pause = threading.Event()
        with self._write_lock:
            while data and self._stream is not None:
                sent = self._stream.send(data)
                if sent == _WOULD_BLOCK:
                    pause.wait(0.01)
                    continue
                data = data[max(0, sent) :]

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        with contextlib.suppress(libvirt.libvirtError):
            stream.eventRemoveCallback()
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()

    def _ready(self, stream: libvirt.virStream, events: int, opaque: object) -> None:
        data: bytes | int = b""
        with contextlib.suppress(libvirt.libvirtError):
            data = stream.recv(_CHUNK)
        if data == _WOULD_BLOCK:
            return
        piece = data if isinstance(data, bytes) else b""
        with _lock:
            viewers = list(self.viewers)
            if not piece:
                _hubs.pop((self._connection.node.id, self._engine_id), None)
        for viewer in viewers:
            viewer.deliver(piece)
        if not piece:
            self.close()


class ConsoleStream(ByteStream):
    """One viewer."""

    def __init__(self, hub: _Hub, loop: asyncio.AbstractEventLoop) -> None:
        self._hub, self._loop = hub, loop
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._ended = False

    def deliver(self, piece: bytes) -> None:
        """Called on libvirt's thread."""
        with contextlib.suppress(RuntimeError):
            # The loop may be closing down.
            self._loop.call_soon_threadsafe(self._put, piece)

    def _put(self, piece: bytes) -> None:
        if self._pieces.qsize() >= _PIECES_MAX:
            while not self._pieces.empty():
                self._pieces.get_nowait()
            self._pieces.put_nowait(_LOST)
        self._pieces.put_nowait(piece)

    async def read(self) -> bytes:
        if self._ended:
            return b""
        piece = await self._pieces.get()
        self._ended = not piece
        return piece

    async def write(self, data: bytes) -> None:
        try:
            await asyncio.to_thread(self._hub.write, data)
        except libvirt.libvirtError as error:
            raise BackendUnavailable(
                "The console was closed: the VM stopped, or its host was lost."
            ) from error

    async def close(self) -> None:
        await asyncio.to_thread(_leave, self._hub, self)
        self._put(b"")


async def console_open(connection: Connection, engine_id: str) -> ConsoleStream:
    """Join the console; begins with the end of what was said before. Raises ``InvalidState`` when
    the VM is off."""
    loop = asyncio.get_running_loop()
    return await asyncio.to_thread(_join, connection, engine_id, loop)


def _join(connection: Connection, engine_id: str, loop: asyncio.AbstractEventLoop) -> ConsoleStream:
    active_require(connection, engine_id)
    key = (connection.node.id, engine_id)
    with _lock:
        hub = _hubs.get(key)
        is_new = hub is None
        if hub is None:
            hub = _hubs[key] = _Hub(connection, engine_id)
        viewer = ConsoleStream(hub, loop)
        hub.viewers.add(viewer)
    if connection.is_local:
        past = tail_bytes(engine_id, _REPLAY_BYTES)
        if past:
            viewer.deliver(past)
    if is_new:
        try:
            hub.open()
        except BaseException:
            _leave(hub, viewer)
            raise
    return viewer


def _leave(hub: _Hub, viewer: ConsoleStream) -> None:
    with _lock:
        hub.viewers.discard(viewer)
        is_last = not hub.viewers
        if is_last:
            for key, known in list(_hubs.items()):
                if known is hub:
                    del _hubs[key]
    if is_last:
        hub.close()
