"""The web process is killed under many: pages come back, sessions are over and leave nothing."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.asyncio.client import ClientConnection

from tests.browser.conftest import chromium_run, context_close, log_in
from tests.faults.cases import QUIET
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.faults.shaky import Shaky
from tests.live import LiveConsole, strain, until
from tests.sockets import socket_open

# Of one person; a hundred are let in.
_EVENTS, _LOGS, _SHELLS, _TABS = 60, 20, 4, 4
_SLEEPS = "7654"
# When the page lost its line, and when it tried to connect again.
_COUNTS_TRIES = """
window.tries = [];
window.WebSocket = new Proxy(WebSocket, {construct(target, words) {
  const socket = new target(...words);
  if (!words[0].endsWith("/events")) return socket;
  if (window.tries.length) window.tries.push(performance.now());
  socket.addEventListener("close", () => { if (!window.tries.length) window.tries.push(performance.now()); });
  return socket;
}});
"""


@pytest.fixture
def container(shaky: Shaky) -> dict[str, Any]:
    """One that runs."""
    (name,) = shaky.names(1)
    return shaky.live.create(name, "docker", config={**QUIET, "command": ["sleep", "3600"]})


def _asleep_inside(name: str) -> int:
    """How many of the processes that the sessions started are there."""
    told = subprocess.run(
        ["docker", "top", name, "-o", "pid,args"], check=True, capture_output=True, text=True
    )
    return told.stdout.count(f"sleep {_SLEEPS}")


async def _open_many(live: LiveConsole, instance: str) -> list[ClientConnection]:
    token = await asyncio.to_thread(live.token)
    command = quote(json.dumps(["sh", "-c", f"sleep {_SLEEPS}; true"]))
    paths = ["/events"] * _EVENTS + [f"/instances/{instance}/logs"] * _LOGS
    paths += [f"/instances/{instance}/exec?command={command}&tty={word}" for word in ("true", "false")] * (
        _SHELLS // 2
    )
    found = []
    for start in range(0, len(paths), 20):
        some = (socket_open(live, path, token, open_timeout=60) for path in paths[start : start + 20])
        found += await asyncio.gather(*some)
    return found


def _outside(name: str) -> None:
    """Made behind the console's back."""
    words = ["docker", "run", "-d", "--network", "none", "--label", "libgo.test=live", "--name", name]
    subprocess.run([*words, QUIET["image"]], check=True, capture_output=True)


async def _number_of_a_fact(socket: ClientConnection) -> int:
    while (number := orjson.loads(await socket.recv()).get("seq")) is None:
        continue
    return int(number)


async def _lost(live: LiveConsole, name: str, instance: str) -> int:
    """Kill the web process under all of them; the number of the last fact that was told before."""
    sockets = await _open_many(live, instance)
    try:
        until(lambda: _asleep_inside(name) == 2 * _SHELLS, "the sessions run", 20)
        _outside(f"{name}-before")
        number = await asyncio.wait_for(_number_of_a_fact(sockets[0]), 60)
        live.kill("web")
        await asyncio.wait_for(asyncio.gather(*(socket.wait_closed() for socket in sockets)), 60)
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets), return_exceptions=True)
    return number


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with chromium_run() as browser:
        yield browser


@pytest.fixture
def tabs(chromium: Browser, shaky: Shaky) -> Iterator[list[Page]]:
    context = chromium.new_context()
    context.add_init_script(_COUNTS_TRIES)
    pages = [context.new_page() for _ in range(_TABS)]
    log_in(pages[0], shaky.live)
    yield pages
    context_close(context)


def _pauses(page: Page) -> list[int]:
    """Milliseconds between the tries of a page to connect."""
    return [round(later - earlier) for earlier, later in pairwise(page.evaluate("window.tries"))]


@fault(
    "F26",
    f"the web process is killed (SIGKILL) under {_EVENTS} sockets of facts, {_LOGS} logs, {_SHELLS} sessions "
    f"and {_TABS} pages",
    sees="pages come back one by one and show what they missed; a session says that it is over",
    keeps="every fact, by its number; no process of a session stays in the container",
)
def test_who_loses_the_web_process_comes_back_and_misses_nothing(
    shaky: Shaky, container: dict[str, Any], tabs: list[Page], measured: Measured
) -> None:
    live, name, instance = shaky.live, str(container["name"]), str(container["id"])
    for page in tabs[:-1]:
        page.goto(f"{live.url}/instances")
        expect(page.locator("#link-text")).to_have_text("live")
    tabs[-1].goto(f"{live.url}/instances/{instance}/terminal")
    expect(tabs[-1].locator("#terminal-state")).to_have_text("Connected")
    # Playwright has an event loop in this thread.
    with ThreadPoolExecutor(1) as pool:
        number = pool.submit(asyncio.run, _lost(live, name, instance)).result()
    began = time.monotonic()
    missed = f"{name}-outside"
    _outside(missed)
    expect(tabs[-1].locator("#terminal-state")).to_contain_text("this session with it")
    for page in tabs[:-1]:
        expect(page.locator("body")).to_contain_text(missed, timeout=60_000)
    measured("pages were right after", time.monotonic() - began)
    pauses = [_pauses(page) for page in tabs[:-1]]
    assert len({each[0] for each in pauses}) > 1, f"not all at one moment: {pauses}"
    # From half of 500 ms to half as much again, by the timer of a browser that waits for the processor too.
    most = 1000 * strain()
    assert all(250 <= each[0] < most and len(each) < 8 for each in pauses), f"and not all the time: {pauses}"
    facts = live.get(f"/events?after={number}&type=instance.created&limit=100")["items"]
    assert missed in {fact["instance_name"] for fact in facts}, facts
    gone = until(lambda: not _asleep_inside(name), "no session is left in the container", 30)
    measured("sessions ended after", gone)
    notes = live.var / "run" / "nodes" / "sessions"
    until(lambda: not os.listdir(notes), "nor what was noted of one", 15)


@fault(
    "F17 (part)",
    "the broker hangs (SIGSTOP) under an open page",
    sees="the page says that its line is lost, for as long as it is, and then shows what it missed",
    keeps="what happened meanwhile",
)
def test_a_page_says_that_a_broker_that_hangs_brings_no_news(
    shaky: Shaky, tabs: list[Page], measured: Measured
) -> None:
    page, (name,) = tabs[0], shaky.names(1)
    page.goto(f"{shaky.live.url}/instances")
    expect(page.locator("#link-text")).to_have_text("live")
    began = time.monotonic()
    with shaky.broker.hanging():
        expect(page.locator("#lost")).to_be_visible(timeout=45_000)
        measured("the page said so after", time.monotonic() - began)
        _outside(name)
        for _ in range(30):
            page.wait_for_timeout(100)
            assert page.locator("#lost").is_visible(), "it has tried again, and nothing has come of it"
    began = time.monotonic()
    expect(page.locator("#lost")).to_be_hidden(timeout=60_000)
    expect(page.locator("body")).to_contain_text(name)
    measured("and was right again after", time.monotonic() - began)
