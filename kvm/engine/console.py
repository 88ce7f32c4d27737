"""The serial line of a domain: one stream of libvirt, on a connection of its own.

libvirt lets one reader in at a time, so whoever opens it twice shares the first stream above here. The
connection is apart from the node's because a daemon that cannot pass on what was written (the guest is
paused, or reads nothing) stops reading from the connection it came on.
"""

from __future__ import annotations

import asyncio
import contextlib

import libvirt

from compute.backends.types import ByteStream
from compute.errors import BackendUnavailable, ComputeError, InvalidState
from kvm.engine.connection import Connection
from kvm.engine.domains import active_require, lookup, running_require
from kvm.engine.logs import tail_bytes

_CHUNK = 16 * 1024
_WOULD_BLOCK = -2
_PAST_BYTES = 64 * 1024
# A reader that takes nothing loses the oldest output, marked, instead of filling the memory.
_PIECES_MAX = 512
_LOST = b"\r\n[... output was dropped ...]\r\n"
# So much is sent at once: the line discipline of a guest holds 4096 bytes and throws away the rest.
_SEND_MAX, _SEND_PAUSE_S = 512, 0.03
_PASTE_LOOK = 8 * _SEND_MAX
_STUCK_S = 10.0
# A page that is loaded anew opens before what it had is closed.
_BUSY_TRIES, _BUSY_PAUSE_S = 12, 0.2
_GONE_TRIES, _GONE_PAUSE_S = 10, 0.1


class ConsoleStream(ByteStream):
    """The open line. Callbacks come on libvirt's thread and are handed to the event loop."""

    def __init__(self, connection: Connection, engine_id: str) -> None:
        self._connection, self._engine_id = connection, engine_id
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._write_lock = asyncio.Lock()
        self._own: libvirt.virConnect | None = None
        self._stream: libvirt.virStream | None = None
        self._past = b""
        self._closing = False

    def open(self, force: bool) -> bool:
        """On a thread. False while another has the line; with ``force`` it is taken away from there."""
        own = self._connection.open_own()
        stream = own.newStream(libvirt.VIR_STREAM_NONBLOCK)
        flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else libvirt.VIR_DOMAIN_CONSOLE_SAFE
        try:
            self._connection.call(lambda _: lookup(own, self._engine_id).openConsole(None, stream, flags))
        except ComputeError as error:
            own.close()
            # VIR_ERR_OPERATION_FAILED, whose text alone tells (src/conf/virchrdev.c).
            if "Active console session exists" in error.message:
                return False
            raise
        self._own, self._stream = own, stream
        if self._connection.is_local:
            self._past = tail_bytes(self._engine_id, _PAST_BYTES)
            self._put(self._past)
        wanted = (
            libvirt.VIR_STREAM_EVENT_READABLE
            | libvirt.VIR_STREAM_EVENT_ERROR
            | libvirt.VIR_STREAM_EVENT_HANGUP
        )
        stream.eventAddCallback(wanted, self._ready, None)
        # Streams are not told when their connection is lost.
        own.registerCloseCallback(lambda conn, reason, opaque: self._put(None), None)
        return True

    async def read(self) -> bytes:
        """Raises ``InvalidState`` when another program took the line, ``BackendUnavailable`` with the
        daemon."""
        if self._closing:
            return b""
        piece = await self._pieces.get()
        if piece is not None:
            return piece
        if not self._closing:
            await self._why_ended()
        return b""

    async def write(self, data: bytes) -> None:
        """At the pace at which a guest takes it. Raises ``InvalidState`` when it takes nothing, and like
        ``read`` at the end."""
        async with self._write_lock:
            for start in range(0, len(data), _SEND_MAX):
                if start % _PASTE_LOOK == 0 and len(data) > _SEND_MAX:
                    # What a paused guest leaves lying makes the daemon stop reading.
                    await asyncio.to_thread(running_require, self._connection, self._engine_id)
                if start:
                    await asyncio.sleep(_SEND_PAUSE_S)
                await self._send(data[start : start + _SEND_MAX])

    async def close(self) -> None:
        self._closing = True
        self._pieces.put_nowait(None)
        await asyncio.to_thread(self._let_go)

    async def _send(self, data: bytes) -> None:
        deadline = self._loop.time() + _STUCK_S
        while data:
            stream = self._stream
            if stream is None:
                raise InvalidState("This console was closed. Connect again.")
            try:
                sent = await asyncio.to_thread(stream.send, data)
            except libvirt.libvirtError as error:
                # Who writes may learn of the end before who reads: both are told the same.
                self._put(None)
                await self._why_ended()
                raise InvalidState("The VM stopped: nothing reads what is typed.") from error
            if sent > 0:
                data, deadline = data[sent:], self._loop.time() + _STUCK_S
            elif self._loop.time() > deadline:
                raise InvalidState("The VM takes no input now: it is paused, or its guest hangs.")
            else:
                await asyncio.sleep(_SEND_PAUSE_S)

    def _ready(self, stream: libvirt.virStream, events: int, opaque: object) -> None:
        data: bytes | int = b""
        with contextlib.suppress(libvirt.libvirtError):
            data = stream.recv(_CHUNK)
        if data == _WOULD_BLOCK:
            return
        piece = data if isinstance(data, bytes) else b""
        if not piece:
            with contextlib.suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
        elif self._past:
            piece, self._past = _unseen(self._past, piece), b""
            if not piece:
                return
        self._put(piece or None)

    def _put(self, piece: bytes | None) -> None:
        with contextlib.suppress(RuntimeError):
            # The loop may be closing down.
            self._loop.call_soon_threadsafe(self._queue, piece)

    def _queue(self, piece: bytes | None) -> None:
        if piece == b"":
            return
        if self._pieces.qsize() >= _PIECES_MAX:
            while not self._pieces.empty():
                self._pieces.get_nowait()
            self._pieces.put_nowait(_LOST)
        self._pieces.put_nowait(piece)

    async def _why_ended(self) -> None:
        """A stream ends without a reason; the domain tells: off is the end, on means it was taken."""
        if not await asyncio.to_thread(self._is_connected):
            raise BackendUnavailable("The connection to libvirt was lost. Connect again.")
        for _ in range(_GONE_TRIES):
            try:
                await asyncio.to_thread(active_require, self._connection, self._engine_id)
            except BackendUnavailable:
                raise
            except ComputeError:
                # Off, or gone.
                return
            await asyncio.sleep(_GONE_PAUSE_S)
        raise InvalidState(
            "Another program took the console over (such as “virsh console --force”). Connect again to "
            "take it back.",
            reason="console_taken",
        )

    def _is_connected(self) -> bool:
        try:
            return self._own is not None and bool(self._own.isAlive())
        except libvirt.libvirtError:
            return False

    def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        own, self._own = self._own, None
        if stream is not None:
            with contextlib.suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
        if own is not None:
            with contextlib.suppress(libvirt.libvirtError):
                own.close()


async def console_open(connection: Connection, engine_id: str, *, force: bool) -> ConsoleStream:
    """Begins with the end of what was said before, where that is kept. Raises ``InvalidState`` when the
    VM is off, and while another program has the line unless ``force``."""
    await asyncio.to_thread(active_require, connection, engine_id)
    made = ConsoleStream(connection, engine_id)
    for _ in range(_BUSY_TRIES):
        if await asyncio.to_thread(made.open, force):
            return made
        await asyncio.sleep(_BUSY_PAUSE_S)
    raise InvalidState(
        "Another program has this console open (such as “virsh console”, or another process of LibGo). "
        "Close it there, or take it over (force=true).",
        reason="console_busy",
    )


def _unseen(past: bytes, piece: bytes) -> bytes:
    """``piece`` without what the log, which was read a moment after the line was opened, had of it."""
    for count in range(min(len(past), len(piece)), 0, -1):
        if past.endswith(piece[:count]):
            return piece[count:]
    return piece
