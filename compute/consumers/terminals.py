"""Terminals: ``/instances/:id/exec``, ``/attach`` and ``/console``, and the screen, ``/vnc``. Binary
frames are what goes in and comes out, text frames are commands and news."""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar

import orjson
from django.conf import settings

from compute import streams
from compute.api.base import Parse, boolean, text, whole
from compute.attachhub import Attached
from compute.backends.types import ByteStream, SessionSpec
from compute.consumers.instance import InstanceSocket
from compute.errors import BackendUnavailable, ComputeError, InvalidInput
from compute.models import Instance
from compute.sessions import Session, sessions_beat

_SIZE_MAX = 1000
_FRAME_MAX = 64 * 1024
# Keys, paste and mouse stay far below; what comes faster waits in its sender's network.
_FRAMES_PER_S, _FRAMES_BURST = 400, 1200
_COMMAND_WORDS, _COMMAND_CHARS = 256, 32 * 1024
_LOOK_EVERY_S = 5.0
# How a session ended, by the code its socket was closed with: 1006 and 1011 are a connection that is gone
# without a word, 1012 is a web process that is told to stop.
_ENDS = {1006: "lost", 1011: "lost", 1012: "interrupted", 4408: "too_slow"}
_CLOSED = "closed"


class Terminal(InstanceSocket):
    """Base of two-way byte streams."""

    _session: Session | None = None
    _active_at = 0.0
    _frames, _frames_at = float(_FRAMES_BURST), 0.0
    _ended = _CLOSED

    async def still_allowed(self) -> None:
        await self.content_allowed()

    async def put_in(self, data: bytes) -> None:
        """What came from the client."""
        raise AssertionError("every terminal says where input goes")

    async def command(self, kind: str, data: dict[str, Any]) -> None:
        """Raises ``KeyError``, ``TypeError`` or ``ValueError`` for what is not understood."""
        raise KeyError(kind)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self._active_at = time.monotonic()
        await self._not_too_fast()
        if len(text_data or bytes_data or b"") > _FRAME_MAX:
            await self.fail(InvalidInput("A frame may have at most 64 KB."))
            return
        try:
            if bytes_data:
                await self.put_in(bytes_data)
            elif text_data:
                message = orjson.loads(text_data)
                data = message.get("data")
                await self.command(message["type"], data if isinstance(data, dict) else message)
        except BackendUnavailable as error:
            await self.fail(error)
        except ComputeError as error:
            self.complain(error)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.complain(InvalidInput("Send bytes, or {“type”: “resize”, “rows”: 24, “cols”: 80}."))

    def session_open(self, action: str) -> Session:
        """Ends when nothing goes in or out for long."""
        self._session, self._active_at = Session(self.actor, action), time.monotonic()
        self.run(self._watch_idle())
        return self._session

    async def session_end(self, result: str = "") -> None:
        """The first result counts; without one, that of the socket's own end."""
        if self._session is not None:
            await self._session.end(result or self._ended)

    async def disconnect(self, code: int) -> None:
        self._ended = _ENDS.get(code, _CLOSED)
        await super().disconnect(code)

    async def revoked(self, error: ComputeError) -> None:
        is_there = self._session is None or await self._session.instance_exists()
        await self.session_end("revoked" if is_there else "gone")
        await super().revoked(error)

    async def show(self, channel: int, data: bytes, *, tty: bool) -> None:
        """Without a terminal the first byte of a frame says which output it is."""
        self._active_at = time.monotonic()
        await self.deliver(data if tty else bytes([channel]) + data)

    async def _watch_idle(self) -> None:
        most_s = settings.LIBGO["compute"]["session_idle_s"]
        while time.monotonic() - self._active_at < most_s:
            await asyncio.sleep(min(_LOOK_EVERY_S, most_s / 4))
            await sessions_beat()
            if self._session is not None and self._session.is_told:
                await self.end(1012, "LibGo was away too long to vouch for this session; open it again.")
                return
        await self.session_end("idle")
        await self.end(1000, f"Nothing happened for {most_s:g} seconds, so the session was ended.")

    async def _not_too_fast(self) -> None:
        now = time.monotonic()
        self._frames = min(_FRAMES_BURST, self._frames + (now - self._frames_at) * _FRAMES_PER_S) - 1
        self._frames_at = now
        if self._frames < 0:
            await asyncio.sleep(-self._frames / _FRAMES_PER_S)


class Exec(Terminal):
    """A session of its own: a shell, or ``command`` (repeated, or one JSON list)."""

    action = "instance.exec"
    _stream: ByteStream | None = None

    async def start(self) -> None:
        wanted = _session_asked(self)
        await self.still_allowed()
        session = self.session_open("instance.exec_session")
        instance, self._stream = await streams.exec_open(self.actor, self.instance_id, wanted)
        words = wanted.command or streams.SHELL
        await session.begin(
            instance, program=words[0][:200], arguments=len(words) - 1, user=wanted.user[:200]
        )
        self.run(self._read_out(self._stream))

    async def put_in(self, data: bytes) -> None:
        if self._stream is not None:
            await self._stream.write(data)

    async def command(self, kind: str, data: dict[str, Any]) -> None:
        if self._stream is None:
            return
        if kind == "eof":
            await self._stream.write_end()
            return
        if kind != "resize":
            raise KeyError(kind)
        await self._stream.resize(*_size(data))

    async def finish(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()
        await self.session_end()

    async def _read_out(self, stream: ByteStream) -> None:
        while True:
            channel, data = await stream.read_from()
            if not data:
                break
            await self.show(channel, data, tty=stream.tty)
        code = await stream.exit_code()
        self.push("exit", {"exit_code": code})
        await self.session_end(f"exit {code}")
        await asyncio.sleep(0.1)
        await self.end(1000, "The session has ended.")


class Attach(Terminal):
    """The first process of an instance, together with all others who are attached to it."""

    _attached: Attached | None = None
    recorded_as = "instance.attach"
    query_known: ClassVar[dict[str, Parse]] = {}
    over = "It stopped, or the engine let go of it."

    async def join(self, asked: dict[str, Any]) -> tuple[Instance, Attached]:
        return await streams.attach_join(self.actor, self.instance_id)

    async def start(self) -> None:
        asked = self.asked(self.query_known)
        await self.still_allowed()
        session = self.session_open(self.recorded_as)
        instance, self._attached = await self.join(asked)
        await session.begin(instance)
        self.run(self._tell_writer(self._attached))
        self.run(self._read_out(self._attached))

    async def put_in(self, data: bytes) -> None:
        if self._attached is not None:
            await self._attached.write(data)

    async def command(self, kind: str, data: dict[str, Any]) -> None:
        if self._attached is None:
            return
        if kind in ("take", "take_over"):
            self._attached.take()
            return
        if kind != "resize":
            raise KeyError(kind)
        await self._attached.resize(*_size(data))

    async def finish(self) -> None:
        attached, self._attached = self._attached, None
        if attached is not None:
            await attached.leave()
        await self.session_end()

    async def _tell_writer(self, attached: Attached) -> None:
        while True:
            await attached.changed.wait()
            attached.changed.clear()
            news = {
                "tty": attached.tty,
                "takes_input": attached.takes_input,
                "writer": attached.writer or None,
                "you_write": attached.is_writer,
            }
            self.push("attached", news, key="attached")

    async def _read_out(self, attached: Attached) -> None:
        while True:
            channel, data = await attached.read_from()
            if not data:
                break
            await self.show(channel, data, tty=attached.tty)
        if attached.problem is not None:
            await self.session_end(attached.problem.code)
            await self.fail(attached.problem)
        else:
            await self.session_end("stopped")
            await self.end(1000, self.over)


class Console(Attach):
    """The serial line of a VM; ``force`` takes it from a program outside of LibGo."""

    recorded_as = "instance.console"
    query_known: ClassVar[dict[str, Parse]] = {"force": boolean}
    over = "The VM stopped."

    async def join(self, asked: dict[str, Any]) -> tuple[Instance, Attached]:
        return await streams.console_join(self.actor, self.instance_id, **asked)


class Graphics(Terminal):
    """The screen of a VM: what a VNC client and its server say to each other, passed on unread."""

    action = "instance.screen"
    _stream: ByteStream | None = None

    async def start(self) -> None:
        self.asked({})
        await self.still_allowed()
        session = self.session_open("instance.vnc")
        instance, self._stream = await streams.graphics_open(self.actor, self.instance_id)
        await session.begin(instance)
        self.run(self._read_out(self._stream))

    async def put_in(self, data: bytes) -> None:
        if self._stream is not None:
            await self._stream.write(data)

    async def finish(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()
        await self.session_end()

    async def _read_out(self, stream: ByteStream) -> None:
        while data := await stream.read():
            self._active_at = time.monotonic()
            await self.deliver(data)
        await self.session_end("stopped")
        await self.end(1000, "The VM stopped.")


_EXEC_QUERY: dict[str, Parse] = {
    "command": text,
    "user": text,
    "work_dir": text,
    "tty": boolean,
    "rows": whole,
    "cols": whole,
}


def _session_asked(socket: InstanceSocket) -> SessionSpec:
    asked = socket.asked(_EXEC_QUERY, repeatable=frozenset({"command"}))
    asked["command"] = _command(asked.get("command", []))
    for name in ("rows", "cols"):
        if not 0 < asked.get(name, 1) <= _SIZE_MAX:
            raise InvalidInput.field(name, f"must be between 1 and {_SIZE_MAX}.")
    if asked.get("work_dir") and not asked["work_dir"].startswith("/"):
        raise InvalidInput.field("work_dir", "must be a whole path, from / on.")
    return SessionSpec(**asked)


def _command(values: list[str]) -> tuple[str, ...]:
    words: Any = values
    if len(values) == 1 and values[0].startswith("["):
        try:
            words = orjson.loads(values[0])
        except ValueError as error:
            raise InvalidInput.field("command", "is no JSON list.") from error
    if not isinstance(words, list) or any(not isinstance(word, str) or "\x00" in word for word in words):
        raise InvalidInput.field("command", "must be a list of texts: the program, then its arguments.")
    if len(words) > _COMMAND_WORDS or sum(map(len, words)) > _COMMAND_CHARS or (words and not words[0]):
        raise InvalidInput.field("command", "is too long, or names no program.")
    return tuple(words)


def _size(data: dict[str, Any]) -> tuple[int, int]:
    """Raises ``InvalidInput`` for what no window has."""
    rows, cols = data["rows"], data["cols"]
    if not isinstance(rows, int) or not isinstance(cols, int) or isinstance(rows, bool):
        raise TypeError("size")
    if not (0 < rows <= _SIZE_MAX and 0 < cols <= _SIZE_MAX):
        raise InvalidInput(f"Rows and columns must be between 1 and {_SIZE_MAX}; the size stays as it was.")
    return rows, cols
