"""Many, slow and endless: what is sent to a whole console to use it up, and how others fare."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.attacks.catalogue import attack
from tests.live import LiveConsole, strain, until
from tests.people import World
from tests.sockets import memory_mib, socket_open, until_true

_DEMO = {"image": "libgo/demo:latest", "network_mode": "none", "command": ["sleep", "600"]}
_GROWTH_MAX_MIB = 50


class Line:
    """One connection, written to by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, live: LiveConsole, text: str = "") -> Line:
        line = cls(*await asyncio.open_connection("127.0.0.1", live.port))
        await line.send(text.encode())
        return line

    @classmethod
    async def ask(cls, live: LiveConsole, method: str, path: str, *headers: str, token: str = "") -> Line:
        """A request with its headers, as the administrator unless a token is given; a body may follow."""
        head = [
            f"{method} /api/v1{path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {token or live.token()}",
        ]
        return await cls.open(live, "\r\n".join([*head, *headers, "", ""]))

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def status(self, within_s: float = 60) -> int:
        """Of the answer; 0 when the connection ended without one."""
        with contextlib.suppress(ConnectionError):
            words = (await asyncio.wait_for(self.reader.readline(), within_s)).split()
            return int(words[1]) if len(words) > 1 else 0
        return 0

    async def head(self) -> str:
        """Of the answer, in small letters."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()

    def close(self) -> None:
        self.writer.transport.abort()


async def _others_take(live: LiveConsole) -> float:
    """Seconds that a list takes for somebody else."""
    began = time.monotonic()
    answer = await asyncio.to_thread(live.api, "GET", "/compute/instances?page_size=10")
    assert answer.status_code == 200, answer.text
    return time.monotonic() - began


@contextlib.asynccontextmanager
async def _unharmed(live: LiveConsole) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Call what it gives in the middle of the attack: others are served nearly as fast as before. At the
    end the web process has not grown, and is the same one."""
    pid, memory = live.pid("web"), memory_mib(live)
    before = sorted([await _others_take(live) for _ in range(5)])[2]

    async def look() -> None:
        now = sorted([await _others_take(live) for _ in range(5)])[2]
        assert now < max(1.0, 6 * before) * strain(), f"a list took {now:.2f} s instead of {before:.2f} s"

    yield look
    assert live.pid("web") == pid
    assert memory_mib(live) - memory < _GROWTH_MAX_MIB


def _transfers_are_over(live: LiveConsole) -> None:
    until(lambda: not list((live.var / "spool").iterdir()), "nothing of them lies in the spool", 30)


@attack(
    "S53",
    "100 uploads at a byte a second at once by one person; without a length, with a lying one, in pieces "
    "without end",
    refused="50 are let in, the others get 429 and Retry-After; other people are served as before; "
    "memory does not grow; 413; nothing is left",
)
async def test_a_hundred_uploads_at_a_byte_a_second_hurt_nobody(
    live: LiveConsole, world: World, name: str
) -> None:
    """The operator attacks, the administrator goes on working."""
    await asyncio.to_thread(live.create, name, "docker", config=_DEMO, project=world.a.project)
    token = await asyncio.to_thread(lambda: world.a.token)
    path = f"/docker/containers/{name}/files?path=/root/slow"
    heads = ["Content-Length: 1000000", "Transfer-Encoding: chunked", "Content-Length: 5"]
    async with _unharmed(live) as look:
        lines = [await Line.ask(live, "PUT", f"{path}{n}", heads[n % 2], token=token) for n in range(100)]
        heads_in = [asyncio.create_task(line.head()) for line in lines]
        await until_true(lambda: sum(task.done() for task in heads_in) >= 50, "50 are refused", 60)
        await asyncio.sleep(2)
        refused = [task.result() for task in heads_in if task.done()]
        assert len(refused) == 50, len(refused)
        assert all(head.startswith("http/1.1 429") and "retry-after: 5" in head for head in refused)
        for _ in range(5):
            for n, line in enumerate(lines):
                await line.send(b"x" if n % 2 == 0 else b"1\r\nx\r\n")
            await asyncio.sleep(1)
            await look()
        # More than was announced is no part of the file; less than that never becomes one.
        lying = await Line.ask(live, "PUT", f"{path}-lie", heads[2])
        await lying.send(b"12345GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await lying.status() in (200, 201)
        endless = await Line.ask(live, "POST", "/compute/instances", "Transfer-Encoding: chunked")
        piece = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
        for _ in range(200):
            await endless.send(piece)
        assert await endless.status() == 413
        for task in heads_in:
            task.cancel()
        for line in (*lines, lying, endless):
            line.close()
    await asyncio.to_thread(_transfers_are_over, live)
    shown = await asyncio.to_thread(live.get, f"/docker/containers/{name}/files/list?path=/root")
    assert {row["name"]: row["size"] for row in shown["entries"] if "slow" in row["name"]} == {"slow-lie": 5}


@attack(
    "S81",
    "500 waits of a minute at once",
    refused="no thread is held, others are served as before; all are answered when it is over",
)
async def test_five_hundred_waits_of_a_minute_hold_nothing(live: LiveConsole, name: str) -> None:
    await asyncio.to_thread(live.create, name, "docker", config=_DEMO)
    stop = await asyncio.to_thread(live.api, "PUT", f"/compute/instances/{name}/stop", {"timeout": 50})
    operation = stop.json()["operation"]["id"]
    async with _unharmed(live) as look:
        path = f"/operations/{operation}/wait?timeout=60"
        lines = [await Line.ask(live, "GET", path) for _ in range(500)]
        # Each of them is let in by a view first.
        await asyncio.sleep(15)
        await look()
        statuses = await asyncio.gather(*(line.status(90) for line in lines))
        for line in lines:
            line.close()
    assert set(statuses) == {200}


@attack(
    "S26",
    "300 connections that never end the head of a request or of a socket's handshake, and one without end",
    refused="hung up on within 15 s, and at 64 KB; others are served as before",
)
async def test_who_does_not_say_what_he_wants_is_hung_up_on(live: LiveConsole) -> None:
    heads = [
        "",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        "GET /ws/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    ]
    async with _unharmed(live) as look:
        lines = [await Line.open(live, heads[n % 3]) for n in range(300)]
        endless = await Line.open(live, "GET / HTTP/1.1\r\n")
        for _ in range(200):
            await endless.send(b"X-More: " + b"x" * 8000 + b"\r\n")
        assert await endless.status() == 0
        for _ in range(3):
            for n, line in enumerate(lines):
                await line.send(b"x" if n % 3 else b"")
            await look()
        ends = await asyncio.gather(*(line.status(60) for line in lines))
    assert set(ends) == {0}, "each is closed without an answer"


def _open(sockets: list[ClientConnection]) -> int:
    return sum(socket.close_code is None for socket in sockets)


@attack(
    "S26",
    "500 sockets of one person",
    refused="100 are open, the others are closed with 4429; another person's opens",
)
async def test_one_person_opens_a_hundred_sockets_and_no_more(live: LiveConsole, world: World) -> None:
    token = await asyncio.to_thread(lambda: world.a.token)
    sockets: list[ClientConnection] = []
    async with _unharmed(live) as look:
        try:
            for _ in range(500):
                with contextlib.suppress(InvalidHandshake, ConnectionClosed):
                    sockets.append(await socket_open(live, "/events", token))
            await until_true(lambda: _open(sockets) <= 100, "the others are closed", 20)
            await asyncio.sleep(1)
            assert _open(sockets) == 100
            assert {socket.close_code for socket in sockets} <= {None, 4429}
            other = await socket_open(live, "/events", await asyncio.to_thread(lambda: world.b.token))
            await other.recv()
            await other.close()
            await look()
        finally:
            await asyncio.gather(*(socket.close() for socket in sockets), return_exceptions=True)
