"""The list of 1,000 instances in Chromium: its first paint, a letter typed into its search, and a second in
which fifty of them change their state. The fake engine, the whole way from its events to the screen."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.fake_crowd import CrowdConsole
from tests.live import PASSWORD

INSTANCES = 1000
CHANGES_PER_S = 50
_SIZES = (25, 50, 100, 200)
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


def pages_cases() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="libgo-bench-pages-") as folder:
        console = CrowdConsole(Path(folder) / "var", INSTANCES)
        try:
            console.start()
            with _chromium(console) as page:
                rows = [_paint(page, console, size) for size in _SIZES]
                rows += [_typed(page, console, size) for size in _SIZES]
                return rows + _churned(page, console) + _map(page, console)
        finally:
            console.stop()


@contextmanager
def _chromium(console: CrowdConsole) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.add_init_script(_PAINT)
        page.goto(f"{console.url}/login")
        page.fill("#username", "admin")
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(f"{console.url}/")
        yield page
        browser.close()


def _paint(page: Page, console: CrowdConsole, size: int) -> dict[str, Any]:
    times = []
    for number in range(_LOADS + 1):
        page.goto(f"{console.url}/instances?size={size}")
        page.wait_for_selector("tr[data-name]")
        page.wait_for_timeout(200)
        # The first one fills Chromium's cache.
        if number:
            times.append(float(page.evaluate("window.painted")))
    return _row(f"list of {INSTANCES}, {size} lines: from the click to the first line painted", times)


def _typed(page: Page, console: CrowdConsole, size: int) -> dict[str, Any]:
    page.goto(f"{console.url}/instances?size={size}")
    page.wait_for_selector("tr[data-name]")
    times = []
    for number in range(_LETTERS + 2):
        took = float(page.evaluate(_TYPE, _TEXTS[number % len(_TEXTS)]))
        page.wait_for_timeout(300)
        if number > 1:
            times.append(took)
    return _row(f"list of {INSTANCES}, {size} lines: from the letter to what it found", times)


def _churned(page: Page, console: CrowdConsole) -> list[dict[str, Any]]:
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
        _row(f"{what}: between two frames", seen["gaps"]),
        _value(f"{what}: longest between two frames", max(seen["gaps"]), "ms"),
        _value(f"{what}: the table drawn again", seen["draws"] / seen["seconds"], "/s"),
        _value(f"{what}: scrolled away by", abs(page.evaluate("scrollY") - scroll), "px"),
        _value(f"{what}: focus lost", float(page.evaluate("document.activeElement.id") != before), "times"),
    ]


def _map(page: Page, console: CrowdConsole) -> list[dict[str, Any]]:
    times = []
    for number in range(_LOADS // 2 + 1):
        page.goto(f"{console.url}/networks/map")
        page.wait_for_selector("main h1, .page-title")
        page.wait_for_timeout(300)
        timing = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? performance.now()"
        if number:
            times.append(float(page.evaluate(timing)))
    return [_row(f"map of {INSTANCES}: first paint", times)]


def _row(what: str, values: list[float]) -> dict[str, Any]:
    ordered = sorted(values)
    return {
        "what": what,
        "p50_ms": round(statistics.median(values), 1),
        "p95_ms": round(ordered[max(0, int(len(values) * 0.95) - 1)], 1),
        "n": len(values),
    }


def _value(what: str, value: float, unit: str) -> dict[str, Any]:
    return {"what": what, "value": round(value, 1), "unit": unit}


if __name__ == "__main__":
    for each in pages_cases():
        print(each)
