"""Many open sockets: what 1,000 quiet ones and 200 that are told of every change cost, and how they wait."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from tests.bench.figures import Row, value
from tests.bench.figures import row as figure
from tests.bench.plot import Plot
from tests.bench.processes import memory_mib
from tests.bench.run import Found, Site
from tests.bench.spent import Spent, spent
from tests.bench.wire import process_cpu_s
from tests.fake_crowd import CrowdConsole
from tests.live import PASSWORD
from tests.sockets import socket_open, until_true

_STEPS, _EACH_USER = (10, 100, 1000), 90
_BUSY, _CHANGES_PER_S, _SECONDS = 200, 20, 10.0
# Between the first changes and what is measured of them: 800 sockets were just closed.
_SETTLE_S = 2.0


def sockets(site: Site) -> Found:
    """On a console of its own over the fake engine, whose changes are told."""
    console = CrowdConsole(site.folder / "sockets", 100)
    try:
        console.start()
        tokens = _tokens(console, (_STEPS[-1] + _EACH_USER - 1) // _EACH_USER)
        rows, plot = asyncio.run(_measured(console, tokens, 2.0 if site.quick else _SECONDS))
        yield from rows
        yield plot
    finally:
        console.stop()


def _tokens(console: CrowdConsole, count: int) -> list[str]:
    """Of so many people: one may have a hundred sockets."""
    found = []
    for number in range(count):
        name = f"bench-{number}-{uuid.uuid4().hex[:4]}"
        made = console.api("POST", "/users", {"username": name, "password": PASSWORD})
        assert made.status_code == 201, made.text
        member = console.api("POST", "/projects/default/members", {"user": name, "role": "operator"})
        assert member.status_code in (200, 201), member.text
        found.append(console.token(name))
    return found


async def _measured(console: CrowdConsole, tokens: list[str], seconds: float) -> tuple[list[Row], Plot]:
    before, opened, grown = memory_mib(console, "web"), [], []
    idle_before = await _cpu_percent(console, seconds)
    began = time.perf_counter()
    for step in _STEPS:
        while len(opened) < step:
            opened.append(await _opened(console, tokens[len(opened) // _EACH_USER]))
        await asyncio.sleep(1)
        grown.append((float(step), max(0.1, memory_mib(console, "web") - before)))
    took_s = time.perf_counter() - began
    idle = await _cpu_percent(console, seconds)
    what = f"{_STEPS[-1]} idle sockets"
    rows = [
        value(f"{what}: memory of the web process, more than without", grown[-1][1], "MiB"),
        value(f"{what}: processor of the web process ({idle_before:.1f} % without)", idle, "% of a core"),
        value(f"{what}: opening them, one after another", took_s, "s"),
    ]
    await asyncio.gather(*(each.close() for each in opened[_BUSY:]))
    rows += await _busy(console, opened[:_BUSY], seconds)
    await asyncio.gather(*(each.close() for each in opened[:_BUSY]))
    lines = {"web process": tuple(grown)}
    return rows, Plot("sockets", "Memory that open sockets take", "sockets", "MiB more", lines)


async def _opened(console: CrowdConsole, token: str) -> Any:
    return await socket_open(console, "/events", token, open_timeout=60, ping_interval=None)


async def _cpu_percent(console: CrowdConsole, seconds: float) -> float:
    used, began = process_cpu_s(console, "web"), time.monotonic()
    await asyncio.sleep(seconds)
    return (process_cpu_s(console, "web") - used) / (time.monotonic() - began) * 100


async def _busy(console: CrowdConsole, opened: list[Any], seconds: float) -> list[Row]:
    """Every change is told to every socket; how old it is when it comes."""
    # Of each fact that is of the time that is measured, by its number.
    of_facts: dict[int, list[float]] = defaultdict(list)
    since_s = math.inf
    heard: set[Any] = set()

    async def read(socket: Any) -> None:
        async for message in socket:
            fact = orjson.loads(message)
            if fact["type"].startswith("instance."):
                heard.add(socket)
                at_s = datetime.fromisoformat(fact["timestamp"].replace("Z", "+00:00")).timestamp()
                if at_s >= since_s:
                    of_facts[fact["seq"]].append((time.time() - at_s) * 1000)

    readers = [asyncio.create_task(read(each)) for each in opened]
    console.churn(_CHANGES_PER_S)
    await until_true(lambda: len(heard) == len(opened), "changes are told", 30)
    # What was opened and closed before is cleared away now, and not by this process while it measures.
    gc.collect()
    gc.disable()
    await asyncio.sleep(_SETTLE_S)
    since_s = time.time()
    with spent(console, "watcher", "broker") as found:
        memory, cpu = memory_mib(console, "web"), await _cpu_percent(console, seconds)
    gc.enable()
    console.churn(0)
    for reader in readers:
        reader.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*readers, return_exceptions=True)
    what = f"{len(opened)} busy sockets, {_CHANGES_PER_S} changes a second"
    delays = [delay for each in of_facts.values() for delay in each]
    judged = figure(f"{what}: from the fact to each socket", delays).at_most(150, "p95")
    return [
        judged,
        *([] if judged.is_met else _where(list(of_facts.values()), found)),
        value(f"{what}: messages", len(delays) / seconds, "/s"),
        value(f"{what}: processor of the web process", cpu, "% of a core"),
        value(f"{what}: memory of the web process", memory, "MiB"),
    ]


def _where(of_facts: list[list[float]], found: Spent) -> Iterator[Row]:
    """Until the first socket has a fact: the database, the watcher, the broker and the web process' hearing;
    from there to the last one: handing it on, and the bench's own reading."""
    what = f"{_BUSY} busy sockets"
    yield figure(f"… {what}: from the fact to the first that has it", [min(each) for each in of_facts])
    yield figure(f"… {what}: from the first to the last", [max(each) - min(each) for each in of_facts])
    yield from found.shares(what)
