"""A folder that is open to backups, and a target in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from compute.actor import Actor
from compute.models import BackupTarget
from compute.services.backup_targets import target_create


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "open"
    folder.mkdir()
    monkeypatch.setitem(settings.LIBGO, "backups", {"local_roots": [str(folder)]})
    return folder


@pytest.fixture
def target(admin: Actor, root: Path) -> BackupTarget:
    given: dict[str, Any] = {"name": "disk", "kind": "local", "options": {"folder": str(root / "site")}}
    return target_create(admin, given)
