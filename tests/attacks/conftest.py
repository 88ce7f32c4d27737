"""A place to attack from that has no way out."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.compute.conftest import (
    admin,
    fake_node,
    make,
    operator,
    project,
    stranger,
    viewer,
    worker_inline,
)

__all__ = [
    "admin",
    "fake_node",
    "make",
    "operator",
    "project",
    "stranger",
    "viewer",
    "worker_inline",
]


@pytest.fixture
def island() -> Iterator[int]:
    """A process whose network name space has nothing but its own loopback."""
    script = "ip link set lo up && exec sleep 3600"
    process = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdin=subprocess.DEVNULL)
    time.sleep(0.5)
    yield process.pid
    process.kill()
    process.wait(10)
