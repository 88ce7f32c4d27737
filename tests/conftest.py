"""One run id, one private broker for each test process, the fast tests first."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from libgo_site.launch.broker import broker_command, broker_wait

_ORDER = (
    "test_architecture",
    "libgo_site",
    "compute",
    "contract",
    "dockerapp",
    "kvm",
    "launcher",
    "faults",
    "browser",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Unit tests first, then engines, then whole consoles and browsers."""

    def rank(item: pytest.Item) -> int:
        path = str(item.path)
        return next((n for n, word in enumerate(_ORDER) if f"tests/{word}" in path), len(_ORDER))

    items.sort(key=rank)


@pytest.fixture(scope="session")
def run_id() -> str:
    """Marks everything this run makes in an engine: ``libgo.test=<run_id>``."""
    return os.environ.get("LIBGO_TEST_RUN") or os.urandom(4).hex()


@pytest.fixture(scope="session", autouse=True)
def broker() -> Iterator[Path]:
    """The broker of this process; ended with it."""
    path = Path(settings.VAR_DIR) / "run" / "broker.sock"
    path.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(broker_command(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert broker_wait(path), f"the private broker did not answer on {path}"
        yield path
    finally:
        process.terminate()
        process.wait(10)
