"""Pools of the tests: folders of their own that QEMU may read."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.people import World


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="libgo-t-", dir="/var/lib/libvirt"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def pool(folder: Path, world: World) -> str:
    """The name of a pool in that folder, gone before its folder is."""
    name = world.name("pool")
    world.admin.ok("POST", "/storage/pools", {"name": name, "type": "dir", "path": str(folder / "p")})
    return name


@pytest.fixture
def token() -> str:
    return uuid.uuid4().hex[:8]
