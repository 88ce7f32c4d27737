"""What a guest said on its serial line, from the file that virtlogd keeps."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

from compute.backends.types import LogLine, LogQuery
from compute.errors import BackendError, OperationNotSupported
from compute.states import InstanceState
from kvm.engine.connection import Connection
from kvm.engine.domains import domain_get
from kvm.engine.names import serial_log_path

# Colours and cursor movements of ECMA-48, and what a firmware prints to clear its screen.
_CONTROL = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|\x1b[()][0-9A-B]|[\x00-\x08\x0b-\x1f\x7f]")
_POLL_S = 0.3
_ALIVE_EVERY_S = 2.0
_LINE_MAX = 64 * 1024


def logs_read(connection: Connection, engine_id: str, query: LogQuery) -> list[LogLine]:
    """The end of the log. Raises ``OperationNotSupported`` for times: a serial line has none."""
    if query.since is not None or query.until is not None:
        raise OperationNotSupported(
            "A serial console has no times to select by; use tail.", capability="logs"
        )
    domain_get(connection, engine_id)
    data = tail_bytes(engine_id, query.max_bytes)
    lines = [_line(raw) for raw in data.split(b"\n")]
    if lines and not lines[-1].text:
        lines.pop()
    return lines if query.tail is None else lines[-query.tail :] if query.tail else []


async def logs_follow(
    connection: Connection, engine_id: str, query: LogQuery
) -> AsyncIterator[list[LogLine]]:
    """Whole lines as they come; ends when the guest is off, or, unless ``query.follow``, with the log."""
    await asyncio.to_thread(domain_get, connection, engine_id)
    reader = _Reader(serial_log_path(engine_id))
    if lines := await asyncio.to_thread(reader.begin, query):
        yield lines
    quiet_s, is_on = 0.0, query.follow
    while is_on:
        await asyncio.sleep(_POLL_S)
        if lines := await asyncio.to_thread(reader.more):
            quiet_s = 0.0
            yield lines
            continue
        quiet_s += _POLL_S
        if quiet_s >= _ALIVE_EVERY_S:
            quiet_s = 0.0
            info = await asyncio.to_thread(domain_get, connection, engine_id)
            is_on = info.state in (InstanceState.RUNNING, InstanceState.PAUSED)
    if lines := await asyncio.to_thread(reader.rest):
        yield lines


class _Reader:
    """Goes through the file from one position on, also over its rotation by virtlogd. The place of a
    line is the file's number and the position behind the line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file, self._position, self._partial = 0, 0, b""

    def begin(self, query: LogQuery) -> list[LogLine]:
        """The tail, or everything behind ``query.after``."""
        if query.after is not None:
            self._file, self._position = query.after
            return self.more()
        self._file, size = _stat(self._path)
        self._position = max(0, size - query.max_bytes)
        lines = self._lines(_read_from(self._path, self._position, size - self._position))
        return lines if query.tail is None else lines[-query.tail :] if query.tail else []

    def more(self) -> list[LogLine]:
        """What was written since."""
        lines: list[LogLine] = []
        file, size = _stat(self._path)
        if file != self._file or size < self._position:
            before = self._path.with_name(f"{self._path.name}.0")
            if _stat(before)[0] == self._file:
                lines = self._lines(_read_from(before, self._position)) + self.rest()
            self._file, self._position, self._partial = file, 0, b""
        return lines + self._lines(_read_from(self._path, self._position))

    def rest(self) -> list[LogLine]:
        """The last line, if it has no end."""
        partial, self._partial = self._partial, b""
        return [_line(partial, (self._file, self._position))] if partial else []

    def _lines(self, data: bytes) -> list[LogLine]:
        at = self._position - len(self._partial)
        self._position += len(data)
        *whole, self._partial = (self._partial + data).split(b"\n")
        lines = []
        for raw in whole:
            at += len(raw) + 1
            lines.append(_line(raw, (self._file, at)))
        if len(self._partial) > _LINE_MAX:
            lines += self.rest()
        return lines


def tail_bytes(engine_id: str, count: int) -> bytes:
    """The last bytes as they came; nothing when the guest never said anything."""
    path = serial_log_path(engine_id)
    return _read_from(path, max(0, _size(engine_id) - count))


def _size(engine_id: str) -> int:
    return _stat(serial_log_path(engine_id))[1]


def _stat(path: Path) -> tuple[int, int]:
    """Number and size of the file; zeros when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    except PermissionError as error:
        raise _unreadable() from error
    return found.st_ino, found.st_size


def _read_from(path: Path, position: int, count: int = 4 * 1024 * 1024) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(count)
    except FileNotFoundError:
        return b""
    except PermissionError as error:
        raise _unreadable() from error


def _unreadable() -> BackendError:
    return BackendError("LibGo may not read the serial logs of libvirt; run it as root or in its group.")


def _line(raw: bytes, place: tuple[int, int] | None = None) -> LogLine:
    # What follows the last carriage return is what a terminal would show.
    text = _CONTROL.sub(b"", raw.rstrip(b"\r").rsplit(b"\r", 1)[-1])
    return LogLine(text.decode("utf-8", "replace")[:4096], "console", place=place)
