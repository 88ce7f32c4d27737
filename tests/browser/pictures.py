"""The pictures of docs/walkthrough.md: WebP files in ``LIBGO_PICTURES``, or in var/shots/walkthrough."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tests.live import ROOT

WIDTH, HEIGHT = 1280, 800
BYTES_MAX = 120 * 1024
_QUALITY = 82


def picture(page: Page, name: str) -> Path:
    """Write what the window shows as ``<name>.webp``."""
    folder = Path(os.environ.get("LIBGO_PICTURES") or ROOT / "var" / "shots" / "walkthrough").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.webp"
    # Fades and charts come to rest.
    page.wait_for_timeout(700)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").save(path, "WEBP", quality=_QUALITY, method=6)
    assert path.stat().st_size < BYTES_MAX, f"{path} is too large for the documents"
    return path
