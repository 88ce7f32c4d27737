"""Chromium, logged in; anything it complains about fails the test."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.chromium import chromium_launch
from tests.live import PASSWORD, LiveConsole

_PATIENCE_MS, _NAVIGATION_MS = 30_000, 90_000
# A write with a condition that does not hold is answered so; the page says what it means. A line of facts
# that was hung up on before it stood is taken again by the page.
_EXPECTED = ("(Precondition Failed)", "Connection closed before receiving a handshake response")


@contextlib.contextmanager
def chromium_run() -> Iterator[Browser]:
    """Playwright's loop runs in the main thread meanwhile: no other can."""
    # How long a page takes is measured by the bench; here a busy machine is no failure.
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = chromium_launch(playwright.chromium)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Ended with the last file of this folder in a row."""
    with chromium_run() as browser:
        yield browser


_CLOSE_S = 20.0


def sign_in(context: BrowserContext, live: LiveConsole, username: str = "admin") -> None:
    """As the form does, without painting it; test_sign_in.py goes through the form."""
    address = f"{live.url}/login"
    context.request.get(address)
    token = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "csrftoken")
    form = {"username": username, "password": PASSWORD, "csrfmiddlewaretoken": token}
    answer = context.request.post(address, form=form, max_redirects=0)
    assert answer.status == 302, answer.text()


def log_in(page: Page, live: LiveConsole, username: str = "admin") -> None:
    """Signed in, and at the dashboard."""
    sign_in(page.context, live, username)
    page.goto(f"{live.url}/")


class _Stuck(BaseException):
    """No event loop takes it for an error of its own."""


def context_close(context: BrowserContext) -> None:
    """Now and then Chromium does not say that it closed a context, and Playwright waits for ever: then it
    is left to be closed with the browser."""

    def give_up(number: int, frame: object) -> None:
        raise _Stuck

    before = signal.signal(signal.SIGALRM, give_up)
    left, _ = signal.setitimer(signal.ITIMER_REAL, _CLOSE_S)
    try:
        context.close()
    except _Stuck:
        print(f"the browser did not close a context within {_CLOSE_S:g} s")
    finally:
        # The timer is that of the whole test, which goes on.
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)


@pytest.fixture
def context(chromium: Browser, live: LiveConsole) -> Iterator[BrowserContext]:
    """Of somebody who is signed in; for pages of which the browser may complain."""
    made = chromium.new_context(viewport={"width": 1440, "height": 900})
    sign_in(made, live)
    yield made
    context_close(made)


@pytest.fixture
def page(chromium: Browser, live: LiveConsole) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    opened.set_default_navigation_timeout(_NAVIGATION_MS)
    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(word in message.text for word in _EXPECTED):
            complaints.append(message.text)

    opened.on("console", heard)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    sign_in(context, live)
    yield opened
    context_close(context)
    assert complaints == [], "the browser complained"
