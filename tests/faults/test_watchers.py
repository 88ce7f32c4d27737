"""Two watchers over one console: one of them writes, and the other takes over."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.live import ROOT, LiveConsole, until


@pytest.fixture
def console(engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveConsole]:
    """Of these tests alone: they kill its watcher."""
    live = LiveConsole(tmp_path_factory.mktemp("watchers"))
    try:
        yield live.start()
    finally:
        live.stop()


@pytest.fixture
def second(console: LiveConsole) -> Iterator[int]:
    """Another watcher on the same console; its process id."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "manage.py", "watch"], cwd=ROOT, env=console.environ, stdout=quiet, stderr=quiet
    )
    yield process.pid
    process.terminate()
    process.wait(20)


@pytest.fixture
def outside(console: LiveConsole) -> Iterator[list[str]]:
    """Names of containers that are made behind the console's back; they go when the test ends."""
    names: list[str] = []
    yield names
    for name in names:
        subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)


def _holders(live: LiveConsole) -> set[int]:
    """The processes that hold the lease of a Docker node."""
    with sqlite3.connect(live.var / "libgo.sqlite3", timeout=20) as base:
        rows = base.execute(
            "SELECT watcher FROM compute_node WHERE backend = 'docker' AND is_enabled"
        ).fetchall()
    return {int(row[0].rpartition(":")[2] or 0) for row in rows}


def _run(names: list[str]) -> str:
    names.append(f"libgo-t-w{os.getpid()}-{os.urandom(3).hex()}")
    words = ["docker", "run", "-d", "--network", "none", "--label", "libgo.test=live", "--name", names[-1]]
    subprocess.run([*words, "libgo/demo:latest"], check=True, capture_output=True)
    return names[-1]


def _told(live: LiveConsole, name: str) -> list[str]:
    row = live.shown(name)
    assert row is not None
    events = live.get(f"/compute/instances/{row['id']}/events")["items"]
    return sorted(event["type"] for event in events if event["type"] == "instance.created")


@fault(
    "F27",
    "a second watcher runs beside the first, which is then killed (SIGKILL)",
    sees="changes made outside show at once, and some seconds after the kill again",
    keeps="one of them writes: every fact is told once",
)
def test_of_two_watchers_one_writes_and_the_other_takes_over(
    console: LiveConsole, second: int, outside: list[str], measured: Measured
) -> None:
    first = console.pid("watcher")
    time.sleep(4)
    assert _holders(console) == {first}, "the second waits"
    name = _run(outside)
    until(lambda: console.shown(name), "it shows", 5)
    time.sleep(1)
    assert _told(console, name) == ["instance.created"]
    console.kill("watcher")
    name = _run(outside)
    measured("shown after", until(lambda: console.shown(name), "what was made meanwhile shows", 10))
    holder = _holders(console)
    assert first not in holder and holder <= {second, console.pid("watcher")}
    time.sleep(1)
    assert _told(console, name) == ["instance.created"]
