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

from tests.live import LiveConsole, strain


async def socket_open(live: LiveConsole, path: str, token: str = "", **options: Any) -> ClientConnection:
    """``/ws/v1`` + path, as the administrator unless a token is given."""
    words: Any = ["libgo.v1", f"bearer.{token or live.log_in()}"]
    url = f"ws://127.0.0.1:{live.port}/ws/v1{path}"
    options = {"open_timeout": 60, **options}
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


class FactsFollowed:
    """What ``/events`` tells a client that connects again whenever it is hung up on: types, and the
    operations they are about; ``ends`` has each end, by close code and time."""

    def __init__(self, live: LiveConsole) -> None:
        self.facts: list[tuple[str, str]] = []
        self.ends: list[tuple[int, float]] = []
        self._url = f"ws://127.0.0.1:{live.port}/ws/v1/events"
        self._words: Any = ["libgo.v1", f"bearer.{live.log_in()}"]
        self._socket = self._connected()
        self._is_over = threading.Event()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _connected(self) -> SyncConnection:
        return connect_sync(self._url, subprotocols=self._words, proxy=None)

    def _read(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(ConnectionClosed):
                for message in self._socket:
                    fact = orjson.loads(message)
                    self.facts.append((fact["type"], str(fact["data"].get("operation"))))
            self.ends.append((self._socket.close_code or 0, time.monotonic()))
            if not self._is_over.wait(0.5):
                self._socket = self._connected()

    def close(self) -> None:
        self._is_over.set()
        self._socket.close()
        self._reading.join()


@contextlib.contextmanager
def facts_followed(live: LiveConsole) -> Iterator[FactsFollowed]:
    followed = FactsFollowed(live)
    try:
        yield followed
    finally:
        followed.close()


async def until_true(true: Any, what: str, within_s: float = 10) -> None:
    began, most = time.monotonic(), within_s
    while not true():
        most = max(most, within_s * strain())
        assert time.monotonic() - began < most, f"not within {most:.0f} s: {what}"
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
