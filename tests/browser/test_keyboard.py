"""The main journeys without a mouse, on real engines: only keys, and the focus in sight at every stop."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import context_close
from tests.browser.keyboard import Keyboard
from tests.browser.shots import Look, look_of, looks
from tests.live import PASSWORD, LiveConsole, until

_SLOW_MS = 60_000
_COMPOSE = """services:
  web:
    image: libgo/demo:latest
    stop_signal: SIGKILL
    labels: {libgo.test: live}
    command: ["/bin/sh", "-c", "exec sleep 86400"]
"""


@dataclass(frozen=True)
class Seat:
    """Somebody who is logged in, at a keyboard."""

    page: Page
    keys: Keyboard


@pytest.fixture
def seat(request: pytest.FixtureRequest, chromium: Browser, live: LiveConsole) -> Iterator[Seat]:
    look: Look = request.param
    context = chromium.new_context(
        viewport={"width": look.width, "height": look.height}, reduced_motion="reduce"
    )
    context.add_init_script(f"localStorage.setItem('theme', '{look.theme}')")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    keys = Keyboard(page)
    page.goto(f"{live.url}/login")
    keys.has("#username")
    keys.type("admin")
    keys.press("Tab")
    keys.type(PASSWORD)
    keys.press("Enter")
    page.wait_for_url(f"{live.url}/")
    expect(page.locator("#link")).to_have_attribute("title", "live")
    yield Seat(page, keys)
    context_close(context)
    assert complaints == [], "the browser complained"


def _journey(number: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("seat", look_of(number), ids=str, indirect=True)


def _make(seat: Seat, name: str, words: str, entry: str) -> None:
    """By the palette and the form; it runs."""
    page, keys = seat.page, seat.keys
    _palette(seat, words, entry)
    page.wait_for_url(re.compile("/instances/new"))
    keys.tab_to("#id_name")
    keys.type(name)
    keys.tab_to("#create [type=submit]")
    keys.press("Enter")
    expect(page.locator("#state")).to_have_text("running", timeout=_SLOW_MS)


def _palette(seat: Seat, words: str, first: str) -> None:
    """Ctrl-K, some letters, and Enter on what comes first."""
    seat.keys.press("Control+k")
    seat.keys.has(".palette input")
    seat.keys.type(words)
    expect(seat.page.locator(".palette-choice[aria-selected=true]")).to_contain_text(first)
    seat.keys.press("Enter")


@_journey(0)
def test_a_container_from_the_sign_in_to_its_end(seat: Seat, live: LiveConsole, name: str) -> None:
    page, keys = seat.page, seat.keys
    keys.press("Tab")
    keys.has(".skip")
    keys.press("Enter")
    keys.has("main")
    _make(seat, name, "new container", "New container")
    keys.tab_to(".nav-tabs .active")
    keys.press("ArrowRight")
    while not page.evaluate("document.activeElement.textContent.includes('Logs')"):
        keys.press("ArrowRight")
        keys.stop()
    keys.press("Enter")
    page.wait_for_url(re.compile("/logs$"))
    keys.press("/")
    keys.has("#log-search")
    keys.tab_to("#log")
    _restarted(seat, live, name)
    _deleted(seat, live, name)


def _restarted(seat: Seat, live: LiveConsole, name: str) -> None:
    """The button that was pressed is gone while it works, and has the focus again when it is back."""
    button = "[hx-post$='/do/restart']"
    before = live.get(f"/compute/instances/{name}")["started_at"]
    seat.keys.tab_to(button, "Shift+Tab")
    seat.keys.press("Enter")
    until(lambda: live.get(f"/compute/instances/{name}")["started_at"] != before, "it is restarted", 30)
    expect(seat.page.locator("#state")).to_have_text("running", timeout=_SLOW_MS)
    seat.keys.has(button)


def _deleted(seat: Seat, live: LiveConsole, name: str) -> None:
    page, keys = seat.page, seat.keys
    button = "[data-bs-target='#delete']"
    keys.tab_to(button)
    keys.press("Enter")
    keys.has("#confirm-delete")
    for _ in range(12):
        keys.press("Tab")
        keys.stop()
        assert keys.is_on("#delete *"), "the focus stays in the dialog"
    keys.press("Escape")
    expect(page.locator("#delete")).to_be_hidden()
    keys.has(button)
    keys.press("Enter")
    keys.has("#confirm-delete")
    keys.type(name)
    keys.press("Enter")
    page.wait_for_url(re.compile("/instances$"), timeout=_SLOW_MS)
    until(lambda: live.shown(name) is None, "it is deleted", 20)


@_journey(1)
def test_the_list_its_ticks_and_what_is_done_to_many(seat: Seat, live: LiveConsole, name: str) -> None:
    page, keys = seat.page, seat.keys
    both = [f"{name}-1", f"{name}-2"]
    for each in both:
        live.create(each, "docker")
    try:
        _palette(seat, "instances", "Instances")
        page.wait_for_url(re.compile("/instances$"))
        keys.press("/")
        keys.has("#q")
        keys.type(name)
        expect(page.locator("#found")).to_have_text("2 instances")
        keys.press("ArrowDown")
        assert both[0] in keys.stop()
        keys.press("x", "j", "x")
        assert both[1] in keys.stop()
        expect(page.locator("[data-bulk-count]")).to_have_text("2 selected")
        keys.tab_to("[data-bulk-action=stop]", "Shift+Tab")
        keys.press("Enter")
        keys.has("dialog[open] button")
        keys.tab_to("dialog[open] .btn-primary, dialog[open] .btn-danger")
        keys.press("Enter")
        expect(page.locator("dialog[open]")).to_contain_text("2 of 2 done", timeout=_SLOW_MS)
        keys.has("dialog[open] button")
        keys.press("Escape")
        keys.has("tr[data-name] a")
        assert {live.get(f"/compute/instances/{each}")["state"] for each in both} == {"stopped"}
        keys.press("/", "ArrowDown", "k", "j")
        assert both[1] in keys.stop()
        keys.press("Enter")
        page.wait_for_url(re.compile(r"/instances/[0-9a-f-]+$"))
        expect(page.locator("h1")).to_have_text(both[1])
    finally:
        for each in both:
            live.api("DELETE", f"/compute/instances/{each}?force=true&wait=60")


@_journey(2)
def test_ctrl_k_leads_to_an_instance_and_does_to_it_and_leaves_as_it_came(
    seat: Seat, live: LiveConsole, name: str
) -> None:
    page, keys = seat.page, seat.keys
    live.create(name, "docker")
    _palette(seat, f"stop {name}", "Stop")
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "stopped", "it is stopped", 30)
    _palette(seat, name, name)
    page.wait_for_url(re.compile(r"/instances/[0-9a-f-]+$"))
    keys.tab_to("#advice")
    keys.press("Control+k")
    keys.has(".palette input")
    keys.press("Escape")
    keys.has("#advice")
    keys.press("Enter")
    expect(page.locator("#state")).to_have_text("running", timeout=_SLOW_MS)
    # What was pressed is no more.
    until(lambda: keys.stop() != "nothing", "its piece has the focus", 10)
    keys.tab_to("#drawer-toggle")
    keys.press("Enter")
    expect(page.locator("#tasks button").first).to_contain_text("start")
    keys.tab_to("#tasks button")
    keys.press("ArrowDown", "Enter")
    keys.has("#tasks button")
    keys.press("Escape")
    expect(page.locator("#drawer-body")).to_be_hidden()
    keys.has("#drawer-toggle")


@_journey(3)
def test_a_stack_is_written_and_deployed(seat: Seat, live: LiveConsole) -> None:
    page, keys = seat.page, seat.keys
    stack = f"libgo-t-{uuid.uuid4().hex[:8]}"
    try:
        _palette(seat, "new stack", "New stack")
        page.wait_for_url(re.compile("/docker/stacks/new"))
        keys.tab_to("#name")
        keys.type(stack)
        keys.tab_to("#stack-file")
        keys.tab_to("#compose")
        page.keyboard.insert_text(_COMPOSE)
        expect(page.locator("#verdict-state")).to_have_text("May be deployed")
        keys.press("Escape", "Tab")
        assert not keys.is_on("#compose"), "Escape, then Tab leaves the editor"
        keys.tab_to("#stack-form [type=submit]")
        keys.press("Enter")
        expect(page.locator(".log")).to_contain_text(f"{stack}-web-1 Started", timeout=_SLOW_MS)
    finally:
        live.api("DELETE", f"/docker/stacks/{stack}?volumes=true&wait=60")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seat", looks()[:1], ids=str, indirect=True)
def test_a_machine_its_console_and_its_screen_and_the_way_out_of_them(
    seat: Seat, live: LiveConsole, name: str
) -> None:
    page, keys = seat.page, seat.keys
    _make(seat, name, "new vir", "New virtual machine")
    made = live.get(f"/compute/instances/{name}")
    logs = f"/compute/instances/{made['id']}/logs?tail=500"
    until(lambda: "GUEST UP" in str(live.get(logs)), "the guest is up", 150)
    keys.tab_to(".nav-tabs .active")
    keys.tab_to(".nav-tabs a[href$='/terminal']", "ArrowRight")
    keys.press("Enter")
    page.wait_for_url(re.compile("/terminal$"))
    # A shell that asks the terminal where its cursor is gets the first input from the page itself.
    expect(page.locator("#terminal-state")).to_have_text(re.compile("Nobody writes|You write"))
    assert keys.is_on("#terminal textarea")
    keys.press("Enter")
    keys.type("echo by-$((40+2))-keys")
    keys.press("Tab", "Enter")
    until(lambda: "by-42-keys" in str(live.get(logs)), "the guest hears it", 30)
    keys.press("Shift+Escape")
    keys.has(".nav-tabs .active")
    keys.tab_to(".nav-tabs a[href$='/screen']", "ArrowRight")
    keys.press("Enter")
    expect(page.locator("#screen-state")).to_have_text("Connected")
    until(lambda: keys.is_on("#screen canvas"), "its screen hears the keys", 10)
    keys.press("Shift+Escape")
    keys.has(".nav-tabs .active")
