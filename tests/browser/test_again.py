"""What the browser dropped on its way: Chromium does that when a container's network comes or goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.live import LiveConsole

_SCRIPT = "**/js/table.js"


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """The browser complains of what it dropped."""
    return context.new_page()


def _dropped(times: int) -> Callable[[Route], None]:
    """The first so many requests do not come back."""
    left = [times]

    def drop(route: Route) -> None:
        left[0] -= 1
        if left[0] >= 0:
            route.abort("connectionreset")
        else:
            route.continue_()

    return drop


def _pages_asked(page: Page) -> list[str]:
    asked: list[str] = []
    page.on("request", lambda request: request.is_navigation_request() and asked.append(request.method))
    return asked


def test_a_page_whose_script_did_not_come_loads_again_by_itself(page: Page, live: LiveConsole) -> None:
    asked = _pages_asked(page)
    page.route(_SCRIPT, _dropped(1))
    page.goto(f"{live.url}/instances")
    expect(page.locator("#link-text")).to_have_text("live", timeout=15000)
    assert asked == ["GET", "GET"]
    expect(page.locator("#missing")).to_be_hidden()


def test_a_script_that_never_comes_is_said_and_not_asked_for_without_end(
    page: Page, live: LiveConsole
) -> None:
    asked = _pages_asked(page)
    page.route(_SCRIPT, _dropped(3))
    page.goto(f"{live.url}/instances")
    expect(page.locator("#missing")).to_contain_text("A part of this page did not come.", timeout=15000)
    assert asked == ["GET", "GET"]
    page.locator("#missing-reload").click()
    expect(page.locator("#missing")).to_be_visible(timeout=15000)
    page.locator("#missing-reload").click()
    expect(page.locator("#link-text")).to_have_text("live", timeout=15000)
    expect(page.locator("#missing")).to_be_hidden()
    assert asked == ["GET"] * 4


def test_a_form_is_not_sent_twice_because_a_script_did_not_come(page: Page, live: LiveConsole) -> None:
    page.goto(f"{live.url}/instances/new?backend=docker")
    page.route("**/js/forms.js", _dropped(1))
    asked = _pages_asked(page)
    with page.expect_navigation():
        page.evaluate("() => HTMLFormElement.prototype.submit.call(document.getElementById('create'))")
    expect(page.locator("#missing")).to_be_visible(timeout=15000)
    assert asked == ["POST"]


def test_a_piece_that_did_not_come_is_asked_for_again(page: Page, live: LiveConsole) -> None:
    page.route("**/alerts/bell*", _dropped(2))
    page.goto(f"{live.url}/instances")
    expect(page.locator("#bell svg")).to_be_visible(timeout=15000)
    assert page.locator("#toasts .toast").count() == 0
