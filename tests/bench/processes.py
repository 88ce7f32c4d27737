"""The processes: their memory when nothing happens and when much does, and how soon they are up."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Row, row, value
from tests.bench.run import Found, Site
from tests.bench.wire import api_wire, page_wire
from tests.live import LiveConsole

_NAMES = ("web", "worker", "watcher", "beat", "broker")
_WARM_UP_S, _IDLE_MIB = 5, 300
_STARTS, _SETTLE_S, _BUSY_S, _BUSY_CLIENTS = 4, 20.0, 15.0, 4


def processes(site: Site) -> Found:
    console = LiveConsole(site.folder / "processes")
    try:
        began = time.perf_counter()
        console.launch("up", "-d", "--no-install")
        yield value(
            "./libgo up -d, the first time (database, administrator)", time.perf_counter() - began, "s"
        )
        warm = []
        for _ in range(2 if site.quick else _STARTS):
            console.launch("down")
            began = time.perf_counter()
            console.launch("up", "-d", "--no-install")
            warm.append(time.perf_counter() - began)
        yield row("./libgo up -d, warm", warm, "s").at_most(_WARM_UP_S)
        time.sleep(2 if site.quick else _SETTLE_S)
        idle = {name: memory_mib(console, name) for name in _NAMES}
        yield from (
            value(f"{name}: memory idle (its share of what is shared)", idle[name], "MiB") for name in _NAMES
        )
        yield value("all together: memory idle", sum(idle.values()), "MiB").at_most(_IDLE_MIB)
        yield from _busy(console, 2 if site.quick else _BUSY_S)
    finally:
        console.stop()


def _busy(console: LiveConsole, seconds: float) -> Iterator[Row]:
    """While four ask for lists and pages without a pause."""
    over, asked = threading.Event(), []

    def ask() -> None:
        api, page = api_wire(console), page_wire(console)
        while not over.is_set():
            api.get("/compute/instances?page_size=500")
            page.get("/instances")
            asked.append(2)
        api.close()
        page.close()

    threads = [threading.Thread(target=ask) for _ in range(_BUSY_CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    busy = {name: memory_mib(console, name) for name in _NAMES}
    over.set()
    for thread in threads:
        thread.join()
    yield value(f"{_BUSY_CLIENTS} clients without a pause: answers", sum(asked) / seconds, "/s")
    yield from (value(f"{name}: memory busy", busy[name], "MiB") for name in _NAMES)
    yield value("all together: memory busy", sum(busy.values()), "MiB")


def memory_mib(console: LiveConsole, name: str) -> float:
    """Its own pages, and its share of those that it has together with others (PSS)."""
    text = Path(f"/proc/{console.pid(name)}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
