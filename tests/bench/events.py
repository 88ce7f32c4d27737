"""From a change outside LibGo to the database, and to a socket that was open."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import orjson

from tests.bench.figures import Row
from tests.bench.figures import row as figure
from tests.bench.machines import defined
from tests.bench.run import Found, Site
from tests.bench.streams import container
from tests.bench.wire import engine_wire
from tests.live import until
from tests.sockets import socket_open

_CHANGES, _SOCKET_P95_MS = 30, 150
_LOOK_S, _WITHIN_S = 0.001, 20.0
# The watcher looks at one instance twice a second at the most: faster changes would measure that.
_BETWEEN_S = 0.6


def events(site: Site) -> Found:
    """Counted from before the engine is told, so the engine's own time is in it."""
    with container(site, "sleep 600") as name, closing(engine_wire()) as engine:
        pk = str((site.console.shown(name) or {})["id"])
        verbs = {"paused": "pause", "running": "unpause"}

        def change(state: str) -> None:
            engine.ask("POST", f"/containers/{name}/{verbs[state]}")

        yield from _measured(site, pk, change, "a container changed by the engine's own API")
    with defined(site.name()) as domain:
        domain.create()
        until(lambda: (site.console.shown(domain.name()) or {}).get("state") == "running", "it is seen", 20)
        pk = str((site.console.shown(domain.name()) or {})["id"])

        def suspend_or_resume(state: str) -> None:
            (domain.suspend if state == "paused" else domain.resume)()

        yield from _measured(site, pk, suspend_or_resume, "a machine changed by libvirt's own API")


def _measured(site: Site, pk: str, change: Callable[[str], None], what: str) -> list[Row]:
    stored, told, alone = asyncio.run(_changes(site, pk, change))
    return [
        figure(f"{what}: the engine's own answer", alone),
        figure(f"{what}: to the database", stored),
        figure(f"{what}: to an open socket", told).at_most(_SOCKET_P95_MS, "p95"),
    ]


async def _changes(
    site: Site, pk: str, change: Callable[[str], None]
) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds to the database, to the socket, and of the engine's call itself."""
    socket = await socket_open(site.console, "/events")
    stored: list[float] = []
    told: list[float] = []
    alone: list[float] = []
    with closing(sqlite3.connect(f"file:{site.console.var}/libgo.sqlite3?mode=ro", uri=True)) as database:
        for number in range(site.few(_CHANGES)):
            state = ("paused", "running")[number % 2]
            began = time.perf_counter()
            heard = asyncio.create_task(_heard(socket, pk, state))
            looked = asyncio.create_task(_stored(database, pk, state))
            await asyncio.to_thread(change, state)
            alone.append((time.perf_counter() - began) * 1000)
            told.append((await asyncio.wait_for(heard, _WITHIN_S) - began) * 1000)
            stored.append((await asyncio.wait_for(looked, _WITHIN_S) - began) * 1000)
            await asyncio.sleep(_BETWEEN_S)
    await socket.close()
    return stored, told, alone


async def _heard(socket: Any, pk: str, state: str) -> float:
    words = {"paused": "instance.paused", "running": "instance.started"}
    while True:
        fact = orjson.loads(await socket.recv())
        if fact["data"].get("instance") == pk and fact["type"] == words[state]:
            return time.perf_counter()


async def _stored(database: sqlite3.Connection, pk: str, state: str) -> float:
    query = "SELECT 1 FROM compute_instance WHERE id = ? AND state = ?"
    while not database.execute(query, (pk.replace("-", ""), state)).fetchone():
        await asyncio.sleep(_LOOK_S)
    return time.perf_counter()
