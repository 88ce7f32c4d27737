"""Terminals: ``/instances/:id/exec`` and ``/instances/:id/console``."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from compute import streams
from compute.backends.types import ByteStream
from compute.consumers.instance import InstanceSocket
from compute.errors import BackendUnavailable, InvalidInput

_ROWS, _COLS = 24, 80
_SIZE_MAX = 1000


class Terminal(InstanceSocket):
    """Base of two-way byte streams: binary frames are data, text frames are commands."""

    _stream: ByteStream | None = None

    async def open(self) -> ByteStream:
        raise AssertionError("every terminal says what it opens")

    async def start(self) -> None:
        self._stream = await self.open()
        self.run(self._read_out())

    async def still_allowed(self) -> None:
        await streams.content_allowed(self.actor, self.instance_id)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._stream is None:
            return
        try:
            if bytes_data:
                await self._stream.write(bytes_data)
            elif text_data:
                await self._command(orjson.loads(text_data))
        except BackendUnavailable as error:
            await self.fail(error)
        except (ValueError, KeyError, TypeError):
            await self.fail(InvalidInput("Send bytes, or {“type”: “resize”, “rows”: 24, “cols”: 80}."))

    async def finish(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    async def _command(self, message: dict[str, Any]) -> None:
        if message["type"] != "resize" or self._stream is None:
            raise KeyError("type")
        rows, cols = int(message["rows"]), int(message["cols"])
        if not (0 < rows <= _SIZE_MAX and 0 < cols <= _SIZE_MAX):
            raise ValueError("size")
        await self._stream.resize(rows, cols)

    async def _read_out(self) -> None:
        assert self._stream is not None
        stream = self._stream
        while data := await stream.read():
            self.push_bytes(data)
        await asyncio.sleep(0.1)
        await self.end(1000, "The session has ended.")


class Exec(Terminal):
    """``/instances/:id/exec``: a shell in a container."""

    async def open(self) -> ByteStream:
        return await streams.exec_open(self.actor, self.instance_id, rows=_ROWS, cols=_COLS)


class Console(Terminal):
    """``/instances/:id/console``: the serial line of a VM."""

    async def open(self) -> ByteStream:
        return await streams.console_open(self.actor, self.instance_id)
