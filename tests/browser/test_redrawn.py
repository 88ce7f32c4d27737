"""Pieces of a page that draw themselves again while a person is at work in them."""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Error, Locator, Page, expect

from tests.dockerapp.stacks.conftest import three
from tests.live import LiveConsole, until


@pytest.fixture
def stack(live: LiveConsole) -> Iterator[str]:
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    yield name
    live.api("DELETE", f"/docker/stacks/{name}?volumes=true&wait=60")


def _draw_again(page: Page, piece: str) -> None:
    """As if something had happened that it shows."""
    with page.expect_response(lambda answer: "part=" in answer.url and answer.ok):
        page.evaluate("piece => htmx.trigger(piece, 'live')", piece)


def test_what_is_typed_and_scrolled_outlives_what_happens_meanwhile(
    page: Page, live: LiveConsole, run_id: str, stack: str
) -> None:
    made = live.api("POST", "/docker/stacks?wait=60", {"name": stack, "compose": three(run_id)})
    assert made.status_code == 201, made.text
    page.goto(f"{live.url}/docker/stacks/{live.get(f'/docker/stacks/{stack}')['id']}")
    piece = page.locator("[data-live]", has=page.locator("[data-service=side]")).last
    old = piece.locator("[data-service=side]").element_handle()
    field = piece.locator("[data-service=side] input[name=replicas]")
    field.fill("2")
    # On a phone.
    page.set_viewport_size({"width": 390, "height": 800})
    wide = piece.locator(".table-responsive").first
    assert wide.evaluate("box => { box.scrollLeft = 20; return box.scrollLeft; }") == 20
    piece.evaluate("piece => htmx.trigger(piece, 'live')")
    until(lambda: not old.evaluate("row => row.isConnected"), "it was drawn again", 15)
    expect(field).to_have_value("2")
    assert wide.evaluate("box => box.scrollLeft") == 20
    piece.locator("[data-service=side] button:has-text('Scale')").click()
    expect(piece.locator("[data-service=side] [data-running]")).to_have_text("2 of 2", timeout=60_000)
    # What was sent is no longer kept: the field shows what is.
    scaled = live.api("POST", f"/docker/stacks/{stack}/scale?wait=60", {"service": "side", "replicas": 1})
    assert scaled.status_code == 200, scaled.text
    expect(field).to_have_value("1")


def test_selected_words_and_a_press_outlive_what_happens_meanwhile(
    page: Page, live: LiveConsole, name: str
) -> None:
    made = live.create(name, "docker", config={"image": "libgo/demo:latest", "network_mode": "none"})
    page.goto(f"{live.url}/instances/{made['id']}")
    expect(page.locator("#link-text")).to_have_text("live")
    words = page.locator("#head .flex-fill .text-secondary").first
    # What it is doing may still come to an end, which draws the head anew under the hand.
    until(lambda: _selected(words), "the words are selected", 15)
    old, said = words.element_handle(), words.inner_text()
    _draw_again(page, "#head")
    page.wait_for_timeout(500)
    assert said and page.evaluate("getSelection().toString()").strip() == said.strip()
    page.evaluate("getSelection().removeAllRanges()")
    until(lambda: not old.evaluate("words => words.isConnected"), "it is drawn again afterwards", 15)
    box = page.locator("#head button:has-text('Stop')").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    _draw_again(page, "#head")
    page.wait_for_timeout(300)
    page.mouse.up()
    expect(page.locator("#state")).to_have_text("stopped", timeout=60_000)


def _selected(words: Locator) -> bool:
    try:
        words.select_text(timeout=2000)
    except Error:
        return False
    return bool(words.evaluate("words => getSelection().containsNode(words, true)"))


def test_an_open_menu_outlives_what_happens_meanwhile(page: Page, live: LiveConsole, name: str) -> None:
    rule = {"name": name, "metric": "cpu_percent", "threshold": 1000, "kind": "instance_usage"}
    assert live.api("POST", "/alerts/rules", rule).status_code == 201
    try:
        page.goto(f"{live.url}/alerts/rules")
        expect(page.locator("#link")).to_have_class(re.compile("status-green"))
        row = page.locator(f"tr[data-name={name}]")
        old = row.element_handle()
        row.get_by_role("button", name="Silence").click()
        choice = row.get_by_role("button", name="1 hour")
        expect(choice).to_be_visible()
        assert live.api("PATCH", f"/alerts/rules/{name}", {"threshold": 999}).status_code == 200
        page.evaluate("htmx.trigger('#rules', 'live')")
        page.wait_for_timeout(800)
        assert choice.is_visible()
        expect(row).to_contain_text("1000")
        page.keyboard.press("Escape")
        expect(row).to_contain_text("999")
        assert not old.evaluate("row => row.isConnected"), "it was drawn again as soon as the menu had closed"
    finally:
        live.api("DELETE", f"/alerts/rules/{name}")


def test_a_change_can_be_deployed_as_soon_as_the_stack_is_free(
    page: Page, live: LiveConsole, run_id: str, stack: str
) -> None:
    compose = three(run_id, test="test -e /tmp/go")
    begun = live.api("POST", "/docker/stacks", {"name": stack, "compose": compose})
    assert begun.status_code == 202, begun.text
    until(lambda: live.api("GET", f"/docker/stacks/{stack}").status_code == 200, "it is there", 30)
    page.goto(f"{live.url}/docker/stacks/{live.get(f'/docker/stacks/{stack}')['id']}/file")
    button = page.locator("button:has-text('Deploy the change')")
    expect(button).to_be_disabled()
    database = f"{stack}-db-1"
    touch = ["docker", "exec", database, "touch", "/tmp/go"]
    until(lambda: subprocess.run(touch, capture_output=True).returncode == 0, "its database is up", 60)
    expect(button).to_be_enabled(timeout=60_000)


def test_enter_waits_for_what_all_that_is_typed_finds(page: Page, live: LiveConsole, name: str) -> None:
    """Whoever types on and presses Enter does not stop what fewer letters had found."""
    wanted, quiet = f"{name}-b", {"image": "libgo/demo:latest", "network_mode": "none"}
    for one in (name, wanted):
        live.create(one, "docker", config=quiet)
    try:
        page.goto(f"{live.url}/instances")
        page.keyboard.press("Control+k")
        expect(page.locator(".palette input")).to_be_focused()
        page.keyboard.type(f"stop {name}")
        first = page.locator(".palette-choice[aria-selected=true]")
        expect(first.get_by_text(name, exact=True)).to_be_visible()
        page.keyboard.type("-b")
        page.keyboard.press("Enter")
        until(lambda: live.get(f"/compute/instances/{wanted}")["state"] == "stopped", "it is stopped", 30)
        assert live.get(f"/compute/instances/{name}")["state"] == "running"
    finally:
        live.api("DELETE", f"/compute/instances/{wanted}?force=true&wait=60")
