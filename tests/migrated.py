"""A migrated SQLite database, kept between test sessions: making one takes each of them many seconds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import time
from pathlib import Path

from django.conf import settings

_OLD_S = 86_400


def database_restore() -> bool:
    """Put the kept one in the place of the test database. False when there is none, or no SQLite."""
    kept = _kept()
    if kept is None or not kept.exists():
        return False
    shutil.copyfile(kept, _own())
    return True


def database_put(path: Path) -> None:
    """Let a console that is new begin with the kept one; without one it migrates by itself."""
    kept = _kept()
    if kept is not None and kept.exists() and not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(kept, path)
        path.chmod(0o600)


def database_keep() -> None:
    """Keep the test database as it is now: fresh from its migrations."""
    kept = _kept()
    if kept is None:
        return
    for old in kept.parent.glob("migrated-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > _OLD_S:
                old.unlink()
    making = kept.with_suffix(f".{os.getpid()}")
    with (
        contextlib.closing(sqlite3.connect(_own())) as source,
        contextlib.closing(sqlite3.connect(making)) as copy,
    ):
        source.backup(copy)
    making.replace(kept)


def _kept() -> Path | None:
    cache = os.environ.get("LIBGO_TEST_CACHE")
    if not cache or not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return None
    return Path(cache) / f"migrated-{_digest()}.sqlite3"


def _own() -> Path:
    return Path(settings.DATABASES["default"]["TEST"]["NAME"])


def _digest() -> str:
    """Of all that decides what it is: our migrations, what they call, and the libraries' versions."""
    digest = hashlib.sha256("\n".join(settings.INSTALLED_APPS).encode())
    root = Path(settings.BASE_DIR)
    sources = [
        *root.glob("*/migrations/*.py"),
        root / "requirements.txt",
        root / "compute" / "audit_guards.py",
    ]
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
