"""From the catalogues that people write (``.po``) those that gettext reads (``.mo``)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.conf import settings

DOMAINS = ("django", "djangojs")


def catalogue_paths() -> Iterator[Path]:
    """Every ``.po``, English having none: it is the source."""
    for folder in settings.LOCALE_PATHS:
        for language, _ in settings.LANGUAGES:
            paths = (Path(folder) / language / "LC_MESSAGES" / f"{domain}.po" for domain in DOMAINS)
            yield from (path for path in paths if path.exists())


def catalogues_build() -> list[Path]:
    """Write what is missing or older than its source, each at once whole; what was written."""
    stale = [path for path in catalogue_paths() if _is_stale(path)]
    return [_build(path) for path in stale]


def _is_stale(path: Path) -> bool:
    built = path.with_suffix(".mo")
    return not built.exists() or built.stat().st_mtime < path.stat().st_mtime


def _build(path: Path) -> Path:
    built = path.with_suffix(".mo")
    with path.open("rb") as file:
        catalogue = read_po(file, abort_invalid=True)
    handle, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        write_mo(file, catalogue)
    Path(draft).chmod(0o644)
    Path(draft).replace(built)
    return built
