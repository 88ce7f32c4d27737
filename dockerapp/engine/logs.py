"""Container logs: the engine's framing undone, stdout and stderr told apart, lines made whole."""

from __future__ import annotations

import asyncio
import calendar
import re
import time
from collections.abc import AsyncGenerator
from typing import Any

import aiodocker
import aiohttp

from compute.backends.types import LogLine, LogQuery
from compute.errors import BackendError, BackendUnavailable, InstanceNotFound, InvalidState
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import engine_errors, reason

_HEADER = 8
_STREAMS = {0: "stdout", 1: "stdout", 2: "stderr"}
# The engine's own pieces have at most 16 KB; what claims more does not speak its format.
_FRAME_MAX = 1024 * 1024
_LINE_MAX = 64 * 1024
_CHUNK = 64 * 1024
# Docker writes all nine digits and UTC; others leave digits away and write the zone.
_EXACT = len("2026-01-31T12:00:00.123456789Z")
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?")
# The engine cuts long lines into messages of this size, each with a time of its own.
_PIECE = 16 * 1024


class LineDecoder:
    """Bytes of the log stream in, whole lines out; frames and lines may be cut anywhere.

    ``framed`` is the engine's format for containers without a terminal: an 8 byte header (stream,
    length) before each piece. See "Attach to a container" in the Docker Engine API. ``stamped``:
    each line begins with its time. Lines longer than 64 KB are cut into several.
    """

    def __init__(self, *, framed: bool, stamped: bool = True) -> None:
        self._framed, self._stamped = framed, stamped
        self._raw = b""
        self._begun: dict[str, bytes] = {}
        self._second, self._epoch = b"", 0

    def feed(self, data: bytes) -> list[LogLine]:
        """The lines that are whole now. Raises ``BackendError`` for what is no log stream."""
        if not self._framed:
            return self._split("stdout", data)
        raw = self._raw + data if self._raw else data
        at, size, lines = 0, len(raw), []
        while at + _HEADER <= size:
            length = int.from_bytes(raw[at + 4 : at + _HEADER], "big")
            if length > _FRAME_MAX:
                raise BackendError("The engine sent a log that cannot be read.")
            end = at + _HEADER + length
            if end > size:
                break
            stream = _STREAMS.get(raw[at], "stdout")
            if raw[end - 1] == 10 and stream not in self._begun and raw.find(10, at + _HEADER) == end - 1:
                # Nearly every piece is one whole line.
                lines.append(self._line(stream, raw[at + _HEADER : end - 1]))
            else:
                lines += self._split(stream, raw[at + _HEADER : end])
            at = end
        self._raw = raw[at:]
        return lines

    def finish(self) -> list[LogLine]:
        """What is left without a line end."""
        rest, self._begun = self._begun, {}
        return [self._line(stream, raw) for stream, raw in rest.items()]

    def _split(self, stream: str, piece: bytes) -> list[LogLine]:
        begun = self._begun.pop(stream, b"")
        if begun and self._framed and self._stamped:
            stamp = _STAMP.match(piece)
            piece = piece[stamp.end() :] if stamp else piece
        *whole, rest = (begun + piece).split(b"\n")
        lines = [self._line(stream, raw) for raw in whole]
        if len(rest) > _LINE_MAX:
            lines.append(self._line(stream, rest))
        elif rest:
            self._begun[stream] = rest
        return lines

    def _line(self, stream: str, raw: bytes) -> LogLine:
        if not self._stamped:
            return LogLine(raw.decode("utf-8", "replace").rstrip("\r"), stream)
        if len(raw) > _PIECE and not self._framed:
            raw = _joined(raw)
        if raw[_EXACT - 1 : _EXACT + 1] == b"Z " and raw[19:20] == b".":
            nanos, text = self._nanos(raw[:19], raw[20:29], b"Z"), raw[_EXACT + 1 :]
        elif (stamp := _STAMP.match(raw)) is not None:
            nanos, text = self._nanos(stamp[1], stamp[2] or b"0", stamp[3]), raw[stamp.end() :]
        else:
            nanos, text = None, raw
        return LogLine(text.decode("utf-8", "replace").rstrip("\r"), stream, nanos)

    def _nanos(self, second: bytes, fraction: bytes, zone: bytes) -> int | None:
        try:
            if second != self._second:
                self._epoch = calendar.timegm(time.strptime(second.decode(), "%Y-%m-%dT%H:%M:%S"))
                self._second = second
            nanos = self._epoch * 1_000_000_000 + int(fraction.ljust(9, b"0"))
        except ValueError:
            return None
        if zone != b"Z":
            ahead = (int(zone[1:3]) * 60 + int(zone[4:6])) * 60_000_000_000
            nanos += ahead if zone[:1] == b"-" else -ahead
        return nanos


def logs_read(client: EngineClient, engine_id: str, query: LogQuery) -> list[LogLine]:
    """At most ``query.max_bytes``; the engine itself cuts to the tail."""
    framed = not terminal_of(client, engine_id)
    lines: list[LogLine] = []
    with engine_errors(client.node.name):
        api = client.api
        url = api._url("/containers/{0}/logs", engine_id)
        with api.get(url, params=_params(query, follow=False), stream=True, timeout=api.timeout) as response:
            api._raise_for_status(response)
            decoder, left = LineDecoder(framed=framed), query.max_bytes
            # Not iter_content: it gives the engine's own chunks, one for each line.
            while left > 0 and (chunk := response.raw.read(min(_CHUNK, left))):
                lines.extend(decoder.feed(chunk))
                left -= len(chunk)
            lines.extend(decoder.finish())
    return lines


async def logs_follow(
    client: EngineClient, engine_id: str, query: LogQuery, framed: bool
) -> AsyncGenerator[list[LogLine], None]:
    """Lines as they come; ends with the container or the engine."""
    docker = client.stream_client()
    # Times cost the engine a fifth of its work; who follows needs them to read on.
    stamped = query.follow or query.timestamps
    decoder = LineDecoder(framed=framed, stamped=stamped)
    try:
        path, params = f"containers/{engine_id}/logs", _params(query, follow=query.follow)
        params["timestamps"] = "1" if stamped else "0"
        async with docker._query(path, params=params, timeout=None) as response:
            async for chunk in response.content.iter_any():
                if lines := decoder.feed(chunk):
                    yield lines
        if lines := decoder.finish():
            yield lines
    except aiodocker.DockerError as error:
        raise stream_error(client.node.name, error) from error
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise BackendUnavailable(f"Docker on {client.node.name} ended the stream.") from error
    finally:
        await docker.close()


def stream_error(node_name: str, error: aiodocker.DockerError) -> Exception:
    """What a stream was refused with."""
    if error.status == 404:
        return InstanceNotFound("The engine has no such container.")
    if error.status == 409:
        return InvalidState(f"The engine refused the stream: {reason(str(error.message))}")
    if error.status in (500, 501):
        return BackendError(f"Docker on {node_name} refused the stream: {reason(str(error.message))}")
    return BackendUnavailable(f"Docker on {node_name} cannot be reached.")


def terminal_of(client: EngineClient, engine_id: str) -> bool:
    """Whether the container has a terminal, so its log has no frames."""
    doc = client.call(lambda api: api.inspect_container(engine_id))
    return bool((doc.get("Config") or {}).get("Tty"))


def _params(query: LogQuery, *, follow: bool) -> dict[str, Any]:
    params: dict[str, Any] = {
        "stdout": "1",
        "stderr": "1",
        "timestamps": "1",
        "follow": "1" if follow else "0",
        "tail": "all" if query.tail is None else str(query.tail),
    }
    if query.since is not None:
        params["since"] = f"{query.since.timestamp():.6f}"
    if query.until is not None:
        params["until"] = f"{query.until.timestamp():.6f}"
    return params


def _joined(raw: bytes) -> bytes:
    """A long line of a terminal without the times that stand at the engine's cuts."""
    first = _STAMP.match(raw)
    at = (first.end() if first else 0) + _PIECE
    parts, begin = [], 0
    while (stamp := _STAMP.match(raw, at)) is not None:
        parts.append(raw[begin:at])
        begin = stamp.end()
        at = begin + _PIECE
    return b"".join([*parts, raw[begin:]])
