"""The list of 1,000 instances in Chromium: its first paint, a letter typed into its search, and a second in
which fifty of them change their state. The fake engine, the whole way from its events to the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

from tests.bench.figures import Row, value
from tests.bench.figures import row as figure
from tests.bench.run import Found, Site
from tests.chromium import chromium_launch
from tests.fake_crowd import CrowdConsole
from tests.live import PASSWORD

INSTANCES = 1000
CHANGES_PER_S = 50
# First what most have.
_USUAL = 50
_SIZES = (_USUAL, 25, 100, 200)
_LOADS, _LETTERS, _CHURN_MS = 12, 24, 15_000
_TEXTS = ("web", "shop", "10.1.2", "unhealthy", "redis", "db-3", "running", "team=data")

# When the first line stood on the screen: the second frame after it came.
_PAINT = """
(() => {
  const look = new MutationObserver(() => {
    if (!document.querySelector("tr[data-name]")) return;
    look.disconnect();
    requestAnimationFrame(() => setTimeout(() => { window.painted = performance.now(); }));
  });
  look.observe(document, { childList: true, subtree: true });
})();
"""
# From the letter to the frame that shows what it found.
_TYPE = """
text => new Promise(resolve => {
  const field = document.getElementById("q");
  const began = performance.now();
  document.addEventListener("drawn", () => {
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
  }, { once: true });
  field.value = text;
  field.dispatchEvent(new InputEvent("input", { bubbles: true }));
})
"""
_WATCH = """
ms => new Promise(resolve => {
  const gaps = [], began = performance.now();
  let last = began, draws = 0;
  const drawn = () => { draws += 1; };
  document.addEventListener("drawn", drawn);
  const frame = now => {
    gaps.push(now - last);
    last = now;
    if (now - began < ms) requestAnimationFrame(frame);
    else {
      document.removeEventListener("drawn", drawn);
      resolve({ gaps: gaps.slice(1), draws, seconds: (now - began) / 1000 });
    }
  };
  requestAnimationFrame(frame);
})
"""


def pages(site: Site) -> Found:
    console = CrowdConsole(site.folder / "pages", INSTANCES)
    try:
        console.start()
        with _chromium(console) as page:
            for size, row in _painted(page, console, _SIZES[: site.few(8)], site.few(_LOADS)).items():
                yield row.at_most(300) if size == _USUAL else row
            for size in _SIZES[: site.few(8)]:
                row = _typed(page, console, size, site.few(_LETTERS))
                yield row.at_most(100) if size == _USUAL else row
            yield from _churned(page, console)
            yield _map(page, console)
    finally:
        console.stop()


@contextmanager
def _chromium(console: CrowdConsole) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = chromium_launch(playwright.chromium, whole=True)
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.add_init_script(_PAINT)
        page.goto(f"{console.url}/login")
        page.fill("#username", "admin")
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(f"{console.url}/")
        yield page
        browser.close()


def _painted(page: Page, console: CrowdConsole, sizes: Sequence[int], loads: int) -> dict[int, Row]:
    """Each size once a round: a console that has just begun is still at work, which would hit the first."""
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for number in range(loads + 1):
        for size, kept in times.items():
            page.goto(f"{console.url}/instances?size={size}")
            page.wait_for_selector("tr[data-name]")
            page.wait_for_timeout(200)
            # The first round fills Chromium's cache.
            if number:
                kept.append(float(page.evaluate("window.painted")))
    what = "from the click to the first line painted"
    return {size: figure(f"list of {INSTANCES}, {size} lines: {what}", kept) for size, kept in times.items()}


def _typed(page: Page, console: CrowdConsole, size: int, letters: int) -> Row:
    page.goto(f"{console.url}/instances?size={size}")
    page.wait_for_selector("tr[data-name]")
    times = []
    for number in range(letters + 2):
        took = float(page.evaluate(_TYPE, _TEXTS[number % len(_TEXTS)]))
        page.wait_for_timeout(300)
        if number > 1:
            times.append(took)
    return figure(f"list of {INSTANCES}, {size} lines: from the letter to what it found", times)


def _churned(page: Page, console: CrowdConsole) -> list[Row]:
    page.goto(f"{console.url}/instances")
    page.wait_for_selector("#link.status-green")
    page.keyboard.press("j")
    before = page.evaluate("document.activeElement.id")
    page.mouse.wheel(0, 600)
    page.wait_for_timeout(500)
    scroll = page.evaluate("scrollY")
    console.churn(CHANGES_PER_S)
    page.wait_for_timeout(2000)
    seen = page.evaluate(_WATCH, _CHURN_MS)
    console.churn(0)
    what = f"{CHANGES_PER_S} changes a second"
    return [
        figure(f"{what}: between two frames", seen["gaps"]),
        value(f"{what}: longest between two frames", max(seen["gaps"]), "ms").at_most(100),
        value(f"{what}: the table drawn again", seen["draws"] / seen["seconds"], "/s"),
        value(f"{what}: scrolled away by", abs(page.evaluate("scrollY") - scroll), "px").at_most(0),
        value(f"{what}: focus lost", page.evaluate("document.activeElement.id") != before, "times").at_most(
            0
        ),
    ]


def _map(page: Page, console: CrowdConsole) -> Row:
    times = []
    for number in range(_LOADS // 2 + 1):
        page.goto(f"{console.url}/networks/map")
        page.wait_for_selector("main h1, .page-title")
        page.wait_for_timeout(300)
        timing = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? performance.now()"
        if number:
            times.append(float(page.evaluate(timing)))
    return figure(f"map of {INSTANCES}: first paint", times)
