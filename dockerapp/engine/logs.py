"""Container logs: the engine's framing undone, stdout and stderr told apart, lines made whole."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiodocker
import aiohttp

from compute.backends.types import LogLine, LogQuery
from compute.errors import BackendError, BackendUnavailable, InstanceNotFound, InvalidState
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import engine_errors, reason
from dockerapp.engine.inspect import time_parse

_HEADER = struct.Struct(">BxxxL")
_STREAMS = {0: "stdout", 1: "stdout", 2: "stderr"}
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT[0-9:.]+Z) ?")
_RAW_STAMP = re.compile(rb"\A\d{4}-\d\d-\d\dT[0-9:.]+Z ")
_LINE_MAX = 64 * 1024
_CHUNK = 64 * 1024


class LineDecoder:
    """Bytes of the log stream in, whole lines out; frames and lines may be cut anywhere.

    ``framed`` is the engine's format for containers without a terminal: an 8 byte header (stream,
    length) before each piece. See "Attach to a container" in the Docker Engine API.
    """

    def __init__(self, *, framed: bool) -> None:
        self._framed = framed
        self._raw = b""
        self._partial: dict[str, bytes] = {}

    def feed(self, data: bytes) -> Iterator[LogLine]:
        if not self._framed:
            yield from self._lines("stdout", data)
            return
        self._raw += data
        while len(self._raw) >= _HEADER.size:
            stream, length = _HEADER.unpack_from(self._raw)
            end = _HEADER.size + length
            if len(self._raw) < end:
                return
            piece, self._raw = self._raw[_HEADER.size : end], self._raw[end:]
            yield from self._lines(_STREAMS.get(stream, "stdout"), piece)

    def finish(self) -> Iterator[LogLine]:
        """What is left without a line end."""
        for stream, rest in self._partial.items():
            if rest:
                yield _line(stream, rest)
        self._partial = {}

    def _lines(self, stream: str, piece: bytes) -> Iterator[LogLine]:
        begun = self._partial.get(stream, b"")
        if begun and self._framed:
            # The engine cuts long lines into several messages, each with a time of its own.
            piece = _RAW_STAMP.sub(b"", piece, count=1)
        *whole, rest = (begun + piece).split(b"\n")
        for raw in whole:
            yield _line(stream, raw)
        if len(rest) > _LINE_MAX:
            yield _line(stream, rest)
            rest = b""
        self._partial[stream] = rest


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
            for chunk in response.iter_content(_CHUNK):
                lines.extend(decoder.feed(chunk[:left]))
                left -= len(chunk)
                if left <= 0:
                    break
            lines.extend(decoder.finish())
    return lines


async def logs_follow(
    client: EngineClient, engine_id: str, query: LogQuery, framed: bool
) -> AsyncIterator[LogLine]:
    """Lines as they come; ends with the container or the engine."""
    docker = client.stream_client()
    decoder = LineDecoder(framed=framed)
    try:
        path = f"containers/{engine_id}/logs"
        async with docker._query(path, params=_params(query, follow=True), timeout=None) as response:
            async for chunk in response.content.iter_any():
                for line in decoder.feed(chunk):
                    yield line
        for line in decoder.finish():
            yield line
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
    if error.status == 500:
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


def _line(stream: str, raw: bytes) -> LogLine:
    text = raw.decode("utf-8", "replace").rstrip("\r")
    stamp = _STAMP.match(text)
    if stamp is None:
        return LogLine(text, stream)
    return LogLine(text[stamp.end() :], stream, time_parse(stamp[1]))
