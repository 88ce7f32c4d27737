"""Every page of the menus, of an instance and of the forms as a picture, in both themes, at a desk and on a
phone; none complains, none is wider than its window, and axe finds nothing on any (WCAG 2.2 AA)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.attacks.catalogue import attack
from tests.browser.conftest import context_close, log_in
from tests.browser.shots import Look, looks, shot, shot_name
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


@pytest.fixture(params=looks(), ids=str)
def seen(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[tuple[Page, Look]]:
    look: Look = request.param
    context = chromium.new_context(
        viewport={"width": look.width, "height": look.height}, reduced_motion="reduce"
    )
    context.add_init_script(f"localStorage.setItem('theme', '{look.theme}')")
    yield context.new_page(), look
    context_close(context)


@attack(
    "S20",
    "inline script and foreign sources on any page, in a browser",
    refused="the content policy is never broken",
)
@pytest.mark.timeout(600)
def test_every_page_is_pictured_in_both_themes_and_widths(
    seen: tuple[Page, Look], live: LiveConsole, name: str
) -> None:
    page, look = seen
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    made = live.create(name, "docker")
    page.goto(f"{live.url}{_OUTSIDE}")
    shot(page, shot_name(_OUTSIDE), look)
    found = [f"{_OUTSIDE} {line}" for line in violations(page)]
    log_in(page, live)
    wide, taken = [], set()
    tabs = _tabs(page, live, f"/instances/{made['id']}")
    for path in dict.fromkeys(["/", *menu_paths(page), *_FORMS, *tabs]):
        answer = page.goto(f"{live.url}{path}")
        assert answer is not None and answer.status == 200, path
        expect(page.locator("h1").first).to_be_visible()
        page.wait_for_timeout(200)
        picture = shot(page, shot_name(path), look)
        with Image.open(picture) as image:
            assert image.size == (look.width, look.height)
        taken.add(picture.name)
        by = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if by > 0:
            wide.append(f"{path} by {by} px")
        found += [f"{path} {line}" for line in violations(page)]
    assert len(taken) > 20, "no two pages share a picture"
    assert complaints == []
    assert wide == [], "wider than the window"
    assert found == [], "\n".join(found)


def _tabs(page: Page, live: LiveConsole, path: str) -> list[str]:
    page.goto(f"{live.url}{path}")
    links = page.locator(".nav-tabs a[href^='/']")
    return [path, *links.evaluate_all("found => found.map(link => link.getAttribute('href'))")]
