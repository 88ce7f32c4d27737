"""Every page of the menus, of an instance and of the forms as a picture, in both themes, at a desk and on a
phone; none complains, none is wider than its window, and axe finds nothing on any (WCAG 2.2 AA)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.attacks.catalogue import attack
from tests.browser.conftest import context_close, sign_in
from tests.browser.shots import judged, shot, shot_name, wider_by, worn
from tests.browser.test_accessibility import menu_paths, violations
from tests.live import LiveConsole

_FORMS = (
    "/networks/map",
    "/profile",
    "/instances/new",
    "/instances/new?backend=kvm",
    "/nodes/new",
    "/operations",
)
_OUTSIDE = "/login"
_EXTREMES = ((360, 780), (3840, 2160))


@pytest.fixture
def still(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    yield context.new_page()
    context_close(context)


@attack(
    "S20",
    "inline script and foreign sources on any page, in a browser",
    refused="the content policy is never broken",
)
@pytest.mark.timeout(600)
def test_every_page_is_pictured_in_both_themes_and_widths(still: Page, live: LiveConsole, name: str) -> None:
    complaints: list[str] = []
    still.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    made = live.create(name, "docker")
    still.goto(f"{live.url}{_OUTSIDE}")
    seen = [_seen(still, _OUTSIDE, 0)]
    sign_in(still.context, live)
    tabs = _tabs(still, live, f"/instances/{made['id']}")
    for number, path in enumerate(dict.fromkeys(["/", *menu_paths(still), *_FORMS, *tabs]), 1):
        answer = still.goto(f"{live.url}{path}")
        assert answer is not None and answer.status == 200, path
        expect(still.locator("h1").first).to_be_visible()
        seen.append(_seen(still, path, number))
    assert len({taken for taken, _ in seen}) > 20, "no two pages share a picture"
    assert complaints == []
    found = [line for _, lines in seen for line in lines]
    assert found == [], "\n".join(found)


def _seen(page: Page, path: str, number: int) -> tuple[str, list[str]]:
    """The name of its pictures, and what is wrong in any look, a line each; what axe says of it takes as
    long as all else."""
    name, wrong = shot_name(path), []
    for look in worn(page):
        with Image.open(shot(page, name, look)) as image:
            assert image.size == (look.width, look.height)
        if by := wider_by(page):
            wrong.append(f"{path} ({look}) is wider than its window by {by} px")
        if look in judged(number):
            wrong += [f"{path} ({look}) {line}" for line in violations(page)]
    return name, [*wrong, *_too_wide(page, path)]


def _too_wide(page: Page, path: str) -> list[str]:
    """In the narrowest and the widest window that people have."""
    before, wrong = page.viewport_size, []
    for width, height in _EXTREMES:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(60)
        if by := wider_by(page):
            wrong.append(f"{path} is wider than a window of {width} px by {by} px")
    assert before is not None
    page.set_viewport_size(before)
    return wrong


def _tabs(page: Page, live: LiveConsole, path: str) -> list[str]:
    page.goto(f"{live.url}{path}")
    links = page.locator(".nav-tabs a[href^='/']")
    return [path, *links.evaluate_all("found => found.map(link => link.getAttribute('href'))")]
