"""What axe says of a page: WCAG 2.2 AA."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import context_close, sign_in
from tests.live import ROOT, LiveConsole

_AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
_ONLY = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@dataclass(frozen=True)
class _Look:
    theme: str
    width: int
    height: int


_LOOKS = (_Look("light", 1440, 900), _Look("dark", 390, 844))


@pytest.fixture(params=_LOOKS, ids=lambda look: f"{look.theme}-{look.width}")
def reader(request: pytest.FixtureRequest, chromium: Browser, live: LiveConsole) -> Iterator[Page]:
    look: _Look = request.param
    context = chromium.new_context(viewport={"width": look.width, "height": look.height})
    context.add_init_script(f"localStorage.setItem('theme', '{look.theme}')")
    page = context.new_page()
    sign_in(context, live)
    yield page
    context_close(context)


def violations(page: Page, only: dict[str, Any] = _ONLY) -> list[str]:
    """One line for each element that breaks a rule; ``only`` as axe takes it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE)
    script = "only => axe.run({runOnly: only, resultTypes: ['violations']})"
    found: dict[str, Any] = page.evaluate(script, only)
    return [
        f"{rule['id']}: {node['html'][:160]} ({node['failureSummary'].splitlines()[-1].strip()})"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def menu_paths(page: Page) -> list[str]:
    links = page.locator("#menu a[href^='/']")
    paths = links.evaluate_all("found => found.map(link => link.getAttribute('href'))")
    return [path for path in dict.fromkeys(paths) if not path.startswith("/admin")]


# What is said and what would change, as templates make it; few pages show them when they are pictured.
_SAID = """
() => { document.querySelector("main").innerHTML = `<div class="container-xl">
  ${["danger", "warning", "info", "success"].map((kind) =>
    `<div class="alert alert-${kind}" role="status">It is <a href="/">said</a> so.</div>`).join("")}
  <pre class="log wrap diff" tabindex="0" aria-label="What would change"><span class="at">@@</span>
<span class="del">- old</span>
<span class="add">+ new</span>
<span class="">  same</span></pre></div>`; }
"""


def test_what_is_said_and_what_would_change_can_be_read(reader: Page, live: LiveConsole) -> None:
    reader.goto(f"{live.url}/nodes")
    reader.evaluate(_SAID)
    assert violations(reader) == []


def test_an_instance_with_the_drawer_open(reader: Page, live: LiveConsole, name: str) -> None:
    """Each page with the drawer closed is looked at where it is pictured."""
    made = live.create(name, "docker")
    reader.goto(f"{live.url}/instances/{made['id']}")
    reader.click("#drawer-toggle")
    assert violations(reader) == []
