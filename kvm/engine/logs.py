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
from kvm.engine.domains import domain_get, serial_log_path

# Colours and cursor movements of ECMA-48, and what a firmware prints to clear its screen.
_CONTROL = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|\x1b[()][0-9A-B]|[\x00-\x08\x0b-\x1f\x7f]")
_POLL_S = 0.3
_ALIVE_EVERY_S = 2.0


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


async def logs_follow(connection: Connection, engine_id: str, query: LogQuery) -> AsyncIterator[LogLine]:
    """Lines as they come, an unfinished one after a moment's quiet; ends when the guest is off."""
    for line in await asyncio.to_thread(logs_read, connection, engine_id, query):
        yield line
    path, position, partial, quiet_s = serial_log_path(engine_id), _size(engine_id), b"", 0.0
    while True:
        await asyncio.sleep(_POLL_S)
        size = _size(engine_id)
        if size < position:
            # virtlogd rotated the file.
            position = 0
        data = await asyncio.to_thread(_read_from, path, position)
        position += len(data)
        *whole, partial = (partial + data).split(b"\n")
        for raw in whole:
            yield _line(raw)
        quiet_s = 0.0 if data else quiet_s + _POLL_S
        if quiet_s >= _ALIVE_EVERY_S:
            quiet_s = 0.0
            info = await asyncio.to_thread(domain_get, connection, engine_id)
            if info.state not in (InstanceState.RUNNING, InstanceState.PAUSED):
                if partial:
                    yield _line(partial)
                return


def tail_bytes(engine_id: str, count: int) -> bytes:
    """The last bytes as they came; nothing when the guest never said anything."""
    path = serial_log_path(engine_id)
    return _read_from(path, max(0, _size(engine_id) - count))


def _size(engine_id: str) -> int:
    try:
        return serial_log_path(engine_id).stat().st_size
    except FileNotFoundError:
        return 0
    except PermissionError as error:
        raise _unreadable() from error


def _read_from(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(4 * 1024 * 1024)
    except FileNotFoundError:
        return b""
    except PermissionError as error:
        raise _unreadable() from error


def _unreadable() -> BackendError:
    return BackendError("LibGo may not read the serial logs of libvirt; run it as root or in its group.")


def _line(raw: bytes) -> LogLine:
    # What follows the last carriage return is what a terminal would show.
    text = _CONTROL.sub(b"", raw.rstrip(b"\r").rsplit(b"\r", 1)[-1])
    return LogLine(text.decode("utf-8", "replace")[:4096], "console")
