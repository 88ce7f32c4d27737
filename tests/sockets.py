"""Clients of a console's sockets: real ones, over the network."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection as SyncConnection
from websockets.sync.client import connect as connect_sync

from tests.live import LiveConsole


async def socket_open(live: LiveConsole, path: str, token: str = "", **options: Any) -> ClientConnection:
    """``/ws/v1`` + path, as the administrator unless a token is given."""
    words: Any = ["libgo.v1", f"bearer.{token or live.log_in()}"]
    url = f"ws://127.0.0.1:{live.port}/ws/v1{path}"
    return await connect(url, subprotocols=words, proxy=None, max_queue=4, **options)


class Followed:
    """A log, read in the background."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.texts: list[str] = []
        self.marks: list[dict[str, Any]] = []
        # When each line came, and its time at the engine when that was asked for.
        self.came: list[tuple[float, str]] = []
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            fact = orjson.loads(message)
            if fact["type"] == "mark":
                self.marks.append(fact["data"])
            for line in fact["data"].get("lines", []) if fact["type"] == "logs" else []:
                self.texts.append(line["text"])
                self.came.append((time.time(), line.get("timestamp") or ""))

    async def close(self) -> None:
        await self.socket.close()
        await asyncio.gather(self._task, return_exceptions=True)


@contextlib.contextmanager
def facts_followed(live: LiveConsole) -> Iterator[list[tuple[str, str]]]:
    """What ``/events`` tells a client that stays connected: types, and the operations they are about."""
    words: Any = ["libgo.v1", f"bearer.{live.log_in()}"]
    url = f"ws://127.0.0.1:{live.port}/ws/v1/events"
    facts: list[tuple[str, str]] = []

    def read(socket: SyncConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for message in socket:
                fact = orjson.loads(message)
                facts.append((fact["type"], str(fact["data"].get("operation"))))

    with connect_sync(url, subprotocols=words, proxy=None) as socket:
        reading = threading.Thread(target=read, args=(socket,))
        reading.start()
        try:
            yield facts
        finally:
            socket.close()
            reading.join()


async def until_true(true: Any, what: str, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.02)


def engine_streams(live: LiveConsole) -> int:
    """How many connections the web process holds to the engine's socket. The kernel gives each end a
    number; those of the engine's end bear its path."""
    links = []
    for fd in Path(f"/proc/{live.pid('web')}/fd").iterdir():
        try:
            links.append(os.readlink(fd))
        except OSError:
            continue
    ours = {match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}
    rows = subprocess.run(["ss", "-xH"], capture_output=True, text=True, check=True).stdout.splitlines()
    fields = [row.split() for row in rows if "docker.sock" in row]
    return sum(1 for field in fields if field[-1] in ours or field[-3] in ours)


def memory_mib(live: LiveConsole) -> float:
    text = Path(f"/proc/{live.pid('web')}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]
