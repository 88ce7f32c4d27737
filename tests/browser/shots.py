"""Pictures of pages, kept beside the run: ``LIBGO_SHOTS``, or ``var/shots``, by page, theme and width."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from tests.live import ROOT
from tests.thorough import cut, turn


@dataclass(frozen=True)
class Look:
    theme: str
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.theme}-{self.width}"


_DESK, _PHONE = (1440, 900), (390, 844)
# Each has both themes and both widths; the other one is for the next run.
_PAIRS = (
    (Look("light", *_DESK), Look("dark", *_PHONE)),
    (Look("dark", *_DESK), Look("light", *_PHONE)),
)


def looks() -> tuple[Look, ...]:
    """In which a run sees every page."""
    return tuple(look for pair in cut(_PAIRS, len(_PAIRS)) for look in pair)


def judged(number: int) -> list[Look]:
    """Of these, those in which a run lets axe look at the page of this number: some turns meet all."""
    # Every second turn has the same pair.
    return cut(looks(), 2, number + turn() // len(_PAIRS))


def look_of(number: int) -> list[Look]:
    """In which a run goes through the journey of this number: another one with each turn, and with each
    journey beside it."""
    every = [look for pair in _PAIRS for look in pair]
    return cut(every, len(every), number)


def shot(page: Page, name: str, look: Look) -> Path:
    """Write what the page shows as ``<name>-<theme>-<width>.png``; an older one is written over."""
    folder = Path(os.environ.get("LIBGO_SHOTS") or ROOT / "var" / "shots")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{look}.png"
    page.screenshot(path=str(path))
    return path


def worn(page: Page) -> Iterator[Look]:
    """The page as it is loaded in one look after the other; then light again, and of its size."""
    before = page.viewport_size
    for look in looks():
        page.set_viewport_size({"width": look.width, "height": look.height})
        page.evaluate("theme => document.documentElement.setAttribute('data-bs-theme', theme)", look.theme)
        page.wait_for_timeout(250)
        yield look
    page.evaluate("document.documentElement.setAttribute('data-bs-theme', 'light')")
    assert before is not None
    page.set_viewport_size(before)


def wider_by(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return max(0, int(page.evaluate(script)))


def pictured(page: Page, name: str) -> None:
    """At a desk and on a phone, in both themes; nothing is wider than its window."""
    for look in worn(page):
        shot(page, name, look)
        by = wider_by(page)
        assert by == 0, f"{name} ({look}) is wider than its window by {by} px"


def shot_name(path: str) -> str:
    """``/docker/images?q=x`` as “docker-images-q-x”, ``/`` as “dashboard”; ids are left out."""
    plain = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "one", path)
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-") or "dashboard"
