"""A way to a server that does what networks do: delays, cuts, stalls, and loses whole connections."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|DELETE) (\S+) HTTP/1")
_PIECE = 64 * 1024
_CLONE_NEWNET = 0x40000000


@dataclass
class Rule:
    """What happens to requests whose ``METHOD /path`` fits ``match``, and to their answers."""

    match: str = ""
    # Before the request goes on.
    delay_s: float = 0.0
    # It is taken, and neither goes on nor is answered.
    holds: bool = False
    # Given in the server's place.
    answer: bytes | None = None
    # So much of the answer, and then the connection is cut.
    cut_after: int | None = None
    bytes_per_s: int | None = None
    # How often it may still happen; None: always.
    times: int | None = None


_NONE = Rule()


@dataclass
class _Asked:
    """The request that a connection is about: what happens to it, and the bytes of its answer so far."""

    rule: Rule = field(default_factory=Rule)
    told: int = 0


def refusal(status: int, message: str) -> bytes:
    """An engine's answer that says no."""
    return answer_of(status, json.dumps({"message": message}).encode())


def answer_of(status: int, body: bytes, *, length: int | None = None, api_version: str = "1.41") -> bytes:
    """An engine's answer, and the end of the connection; ``length``: so long the body claims to be."""
    head = f"HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nConnection: close\r\n"
    head += f"Api-Version: {api_version}\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


class FaultyProxy:
    """Passes bytes on to ``target``, a path or a port of our loopback, as ``rules`` say; the first that fits
    counts. ``silent``: connections are taken, nothing passes. ``asked``: all requests so far."""

    def __init__(self, target: Path | int, listener: socket.socket) -> None:
        self.rules: list[Rule] = []
        self.asked: list[str] = []
        # Bytes of answers.
        self.passed = 0
        self._target, self._listener = target, listener
        self._links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._fillers: list[socket.socket] = []
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._passing.set()
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listener.setblocking(False)
        self._run(self._listen())

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def path(self) -> str:
        return str(self._listener.getsockname())

    @property
    def links(self) -> int:
        """Connections that are open now."""
        return len(self._links)

    def cut(self) -> None:
        """End all connections; new ones are taken."""
        self._run(self._cut())

    def be_silent(self, silent: bool = True) -> None:
        """As behind a cable that was pulled: what is open stays open, and nobody answers."""
        self._loop.call_soon_threadsafe(self._passing.clear if silent else self._passing.set)

    def drop_packets(self) -> None:
        """Nothing passes, and who connects gets no answer at all: the kernel drops what is too much for a
        queue that is full."""
        self.be_silent()
        self._run(self._fill())

    def let_through(self) -> None:
        """As if nothing had happened; what hung in between is cut."""
        self._run(self._drain())
        self.cut()
        self.be_silent(False)

    def close(self) -> None:
        self.let_through()
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._listener.close()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._listener.listen(128)
        self._accepting = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        while True:
            taken, _ = await self._loop.sock_accept(self._listener)
            task = asyncio.create_task(self._serve(taken))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _stop(self) -> None:
        assert self._accepting is not None
        waiting = [self._accepting, *self._tasks]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _cut(self) -> None:
        for link in list(self._links):
            for writer in link:
                writer.transport.abort()

    async def _fill(self) -> None:
        assert self._accepting is not None
        self._accepting.cancel()
        self._listener.listen(0)
        for _ in range(4):
            filler = socket.socket(self._listener.family)
            filler.setblocking(False)
            filler.connect_ex(self._listener.getsockname())
            self._fillers.append(filler)

    async def _drain(self) -> None:
        if not self._fillers:
            return
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        await self._listen()

    async def _serve(self, taken: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=taken)
        try:
            await self._passing.wait()
            if isinstance(self._target, Path):
                there, back = await asyncio.open_unix_connection(str(self._target))
            else:
                there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        link = (writer, back)
        self._links.add(link)
        current = _Asked()
        try:
            both = (self._forth(reader, link, current), self._back(there, link, current))
            tasks = [asyncio.create_task(work) for work in both]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._links.discard(link)
            for end in link:
                with contextlib.suppress(OSError):
                    end.close()

    async def _forth(
        self,
        reader: asyncio.StreamReader,
        link: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        current: _Asked,
    ) -> None:
        while data := await reader.read(_PIECE):
            await self._passing.wait()
            begun = _REQUEST.match(data)
            if begun:
                current.rule = self._rule_for(f"{begun[1].decode()} {begun[2].decode()}")
                current.told = 0
                await asyncio.sleep(current.rule.delay_s)
                await self._passing.wait()
            rule = current.rule
            if rule.answer is not None:
                if begun:
                    await self._write(link[0], rule.answer, rule.bytes_per_s)
                if b"Connection: close" in rule.answer:
                    # What is still sent is taken, or the answer would be lost with it.
                    with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                        await asyncio.wait_for(_read_away(reader), 0.2)
                    return
            elif not rule.holds:
                link[1].write(data)
                await link[1].drain()

    async def _back(
        self,
        reader: asyncio.StreamReader,
        link: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        current: _Asked,
    ) -> None:
        while data := await reader.read(_PIECE):
            await self._passing.wait()
            rule = current.rule
            current.told += len(data)
            if rule.cut_after is not None and current.told > rule.cut_after:
                link[0].write(data[: max(0, len(data) - (current.told - rule.cut_after))])
                await link[0].drain()
                return
            await self._write(link[0], data, rule.bytes_per_s)

    async def _write(self, writer: asyncio.StreamWriter, data: bytes, bytes_per_s: int | None) -> None:
        piece = max(1, bytes_per_s // 10) if bytes_per_s else len(data)
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
            await writer.drain()
            self.passed += min(piece, len(data) - start)
            if bytes_per_s:
                await asyncio.sleep(0.1)

    def _rule_for(self, request: str) -> Rule:
        self.asked.append(request)
        for rule in self.rules:
            if rule.times != 0 and re.search(rule.match, request):
                rule.times = None if rule.times is None else rule.times - 1
                return rule
        return _NONE


async def _read_away(reader: asyncio.StreamReader) -> None:
    while await reader.read(_PIECE):
        pass


def faulty_socket(target: Path, path: Path) -> FaultyProxy:
    """On a Unix socket at ``path``."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    return FaultyProxy(target, listener)


def faulty_port(target: Path | int) -> FaultyProxy:
    """On a port of our loopback."""
    return FaultyProxy(target, socket.create_server(("127.0.0.1", 0)))


def listener_inside(pid: int, port: int) -> socket.socket:
    """A listening socket on the loopback of another process's network name space. A thread goes there and
    ends; the socket stays what it is."""
    made: list[socket.socket | OSError] = []

    def go() -> None:
        try:
            made.append(_listener_there(pid, port))
        except OSError as error:
            made.append(error)

    _in_thread(go)
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def _listener_there(pid: int, port: int) -> socket.socket:
    space = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(space, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(space)
    return socket.create_server(("127.0.0.1", port))


def _in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
