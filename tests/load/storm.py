"""The storm: everybody at once, while things break; then quiet, and what there is to be judged."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import log_in
from tests.chromium import chromium_launch
from tests.faults.conftest import held
from tests.live import ENDED, LiveConsole, until
from tests.load.breaking import Breaking
from tests.load.browsers import Browser, Sockets
from tests.load.choices import BROWSER, CONTAINER, MACHINE, choices, disasters
from tests.load.clients import Client
from tests.load.ledger import Ledger
from tests.load.place import Place

PROCESSES = ("web", "worker", "watcher", "beat", "broker")
# Guests are emulated, so only a few ask for machines.
_MACHINE_CLIENTS = 3
_CLIENT_PAUSE_S, _BROWSER_PAUSE_S = 1.0, 2.0
_CALM_S, _BREAK_EVERY_S = 6.0, 5.0
# The end of a long storm in which processes live on; a short one has no time for that.
_LONG_S, _AGE_S = 240.0, 150.0
_END_WITHIN_S, _QUIET_WITHIN_S = 130.0, 90.0


@dataclass
class Storm:
    """What was seen. ``memory``: by process, (seconds, process id, resident bytes)."""

    seed: int
    seconds: float
    place: Place
    ledger: Ledger
    memory: dict[str, list[tuple[float, int, int]]]
    held_before: dict[str, tuple[int, int]]
    threads_before: int
    broken: list[tuple[float, str, float]] = field(default_factory=list)
    quiet_after_s: float = 0.0
    # Rows of the list in Chromium when it was over, and those of the API at the same moment.
    drawn: dict[str, str] = field(default_factory=dict)
    listed: dict[str, str] = field(default_factory=dict)
    operations: list[dict[str, Any]] = field(default_factory=list)


def storm_run(place: Place, seed: int, seconds: float) -> Storm:
    print(f"\nthe storm of seed {seed}, {seconds:g} s (LIBGO_STORM_SEED={seed} plays it again)", flush=True)
    ledger, memory = Ledger(), defaultdict(list)
    storm = Storm(seed, seconds, place, ledger, memory, held(place.console), threading.active_count())
    over = threading.Event()
    with ExitStack() as stack:
        page = stack.enter_context(_chromium(place.console))
        sockets = Sockets()
        stack.callback(sockets.close)
        stack.callback(over.set)
        breaking = Breaking(place, plan(seed, seconds), over)
        browsers = _browsers(place, seed, ledger, over, sockets)
        # Before it begins: a password costs a quarter of a second of a core.
        with ThreadPoolExecutor(2) as pool:
            crowd = (*_clients(place, seed, ledger, over), *pool.map(Browser.log_in, browsers))
        work = [(each.name, each.run) for each in (*crowd, breaking)]
        threads = [threading.Thread(target=run, name=name, daemon=True) for name, run in work]
        for thread in threads:
            thread.start()
        _watch(storm, page, seconds)
        over.set()
        _all_end(threads)
        storm.broken = breaking.done
        assert breaking.error is None, breaking.error
        storm.quiet_after_s = until(lambda: not _open(place.console), "every operation ends", _QUIET_WITHIN_S)
        _look(storm, page)
    storm.operations = _operations(place.console)
    return storm


def plan(seed: int, seconds: float) -> list[tuple[float, str]]:
    """What breaks when in a storm of this length."""
    return disasters(seed, seconds, _CALM_S, _BREAK_EVERY_S, _AGE_S if seconds >= _LONG_S else 0)


def _clients(place: Place, seed: int, ledger: Ledger, over: threading.Event) -> Iterator[Client]:
    for number, caller in enumerate(place.clients):
        kind, weights = ("machine", MACHINE) if number < _MACHINE_CLIENTS else ("container", CONTAINER)
        chosen = choices(seed, f"client {number}", weights, _CLIENT_PAUSE_S)
        yield Client(caller, kind, chosen, ledger, over)


def _browsers(
    place: Place, seed: int, ledger: Ledger, over: threading.Event, sockets: Sockets
) -> Iterator[Browser]:
    for number, caller in enumerate(place.browsers):
        chosen = choices(seed, f"browser {number}", BROWSER, _BROWSER_PAUSE_S)
        yield Browser(caller, chosen, ledger, over, sockets)


@contextlib.contextmanager
def _chromium(console: LiveConsole) -> Iterator[Page]:
    """The list of all instances, as an administrator leaves it open."""
    with sync_playwright() as playwright:
        browser = chromium_launch(playwright.chromium)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        log_in(page, console)
        page.goto(f"{console.url}/instances?size=200")
        yield page
        browser.close()


def _watch(storm: Storm, page: Page, seconds: float) -> None:
    """Note the memory of LibGo's processes each second; Chromium goes on meanwhile."""
    began = time.monotonic()
    while (now_s := time.monotonic() - began) < seconds:
        for name in PROCESSES:
            with contextlib.suppress(StopIteration, OSError, ValueError):
                pid = storm.place.console.pid(name)
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                storm.memory[name].append((now_s, pid, pages * os.sysconf("SC_PAGE_SIZE")))
        page.wait_for_timeout(1000)


def _all_end(threads: list[threading.Thread]) -> None:
    deadline = time.monotonic() + _END_WITHIN_S
    for each in threads:
        each.join(max(0.0, deadline - time.monotonic()))
    left = [each.name for each in threads if each.is_alive()]
    assert not left, f"still waiting for an answer after {_END_WITHIN_S:g} s: {left}"


def _open(console: LiveConsole) -> list[Any]:
    states = [state for state in ("queued", "running") if console.get(f"/operations?state={state}")["total"]]
    rows = console.get("/compute/instances?page_size=500")["instances"]
    return states or [row["name"] for row in rows if row["active_operation"] or row["stale"]]


def _look(storm: Storm, page: Page) -> None:
    """The list in Chromium and that of the API, as soon as they agree, or after ten seconds."""

    def agree() -> bool:
        rows = storm.place.console.get("/compute/instances?page_size=500")["instances"]
        storm.listed = {row["name"]: row["state"] for row in rows}
        storm.drawn = page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('tr[data-name]')]"
            ".map(row => [row.dataset.name, row.querySelector('.col-state').innerText.trim()]))"
        )
        page.wait_for_timeout(200)
        return storm.drawn == storm.listed

    with contextlib.suppress(AssertionError):
        until(agree, "Chromium shows what is", 10)


def _operations(console: LiveConsole) -> list[dict[str, Any]]:
    """All of them, in the order of their end."""
    found: list[dict[str, Any]] = []
    page = 1
    while rows := console.get(f"/operations?page_size=500&page={page}")["items"]:
        found, page = found + rows, page + 1
    assert all(row["state"] in ENDED for row in found)
    return sorted(found, key=lambda row: row["finished_at"])
