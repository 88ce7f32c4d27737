"""Pictures of pages, kept beside the run: ``LIBGO_SHOTS``, or ``var/shots``, by page, theme and width."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from tests.live import ROOT


@dataclass(frozen=True)
class Look:
    theme: str
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.theme}-{self.width}"


LOOKS = tuple(Look(theme, *size) for theme in ("light", "dark") for size in ((1440, 900), (390, 844)))


def shot(page: Page, name: str, look: Look) -> Path:
    """Write what the page shows as ``<name>-<theme>-<width>.png``; an older one is written over."""
    folder = Path(os.environ.get("LIBGO_SHOTS") or ROOT / "var" / "shots")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{look}.png"
    page.screenshot(path=str(path))
    return path


def shot_name(path: str) -> str:
    """``/docker/images?q=x`` as “docker-images-q-x”, ``/`` as “dashboard”; ids are left out."""
    plain = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "one", path)
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-") or "dashboard"
