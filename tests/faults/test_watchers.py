"""Two watchers and two clocks over one console: one of them acts, and the other takes over."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.faults.shaky import Shaky
from tests.live import ROOT, LiveConsole, until

_ASLEEP = timedelta(hours=3)


@contextlib.contextmanager
def _beside(live: LiveConsole, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process of the same console."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=live.environ, stdout=quiet, stderr=quiet
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def outside() -> Iterator[list[str]]:
    """Names of containers that are made behind the console's back; they go when the test ends."""
    names: list[str] = []
    yield names
    for name in names:
        subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)


def _holders(live: LiveConsole) -> set[int]:
    """The processes that hold the lease of a Docker node."""
    with contextlib.closing(sqlite3.connect(live.var / "libgo.sqlite3", timeout=20)) as base:
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
    return [event["type"] for event in events if event["type"] == "instance.created"]


@fault(
    "F27",
    "a second watcher runs beside the first, which is then killed (SIGKILL)",
    sees="changes made outside show at once, and some seconds after the kill again",
    keeps="one of them writes: every fact is told once",
)
def test_of_two_watchers_one_writes_and_the_other_takes_over(
    shaky: Shaky, outside: list[str], measured: Measured
) -> None:
    live = shaky.live
    first = live.pid("watcher")
    with _beside(live, "manage.py", "watch") as second:
        time.sleep(4)
        assert second.poll() is None and _holders(live) == {first}, "the second waits"
        name = _run(outside)
        until(lambda: live.shown(name) and _told(live, name), "it shows", 5)
        time.sleep(1)
        assert _told(live, name) == ["instance.created"]
        live.kill("watcher")
        name = _run(outside)
        measured("shown after", until(lambda: live.shown(name), "what was made meanwhile shows", 10))
        until(lambda: _told(live, name), "it is told", 10)
        holder = _holders(live)
        assert first not in holder and holder <= {second.pid, live.pid("watcher")}
        time.sleep(1)
        assert _told(live, name) == ["instance.created"]
    until(lambda: _holders(live) == {live.pid("watcher")}, "the one that is left has it", 15)


@fault(
    "F28",
    "the clock (beat) sleeps for 3 hours; there are two when it wakes, and one of them is killed (SIGKILL)",
    sees="what is to be made up for ran once; what is not stands as missed, with the reason",
    keeps="every schedule, with its next time; never a burst",
)
def test_a_clock_that_slept_makes_up_by_policy_and_never_in_a_burst(
    shaky: Shaky, measured: Measured, tmp_path: Path
) -> None:
    live = shaky.live
    # Each hour, five minutes ago: three were missed, and none comes while the test runs.
    minute = (datetime.now(timezone.utc) - timedelta(minutes=5)).minute
    policies = {
        "late": {"missed": "late", "missed_within_s": 3600},
        "too late": {"missed": "late", "missed_within_s": 120},
        "skip": {"missed": "skip"},
    }
    with _asleep(live):
        paths = {word: _schedule(live, minute, policy) for word, policy in policies.items()}
        _slept(live)
    try:
        command = ["-m", "celery", "-A", "libgo_site.celery:app", "--quiet", "beat", "-s"]
        command += [str(tmp_path / "schedule"), "--pidfile", str(tmp_path / "beat.pid")]
        with _beside(live, *command) as second:
            all_ran = until(lambda: all(_runs(live, path) for path in paths.values()), "each was met", 25)
            measured("made up for after", all_ran)
            live.kill("beat")
            time.sleep(12)
            assert second.poll() is None, "the second clock ran all the time"
        states = {word: [run["state"] for run in _runs(live, path)] for word, path in paths.items()}
        assert states == {"late": ["succeeded"], "too late": ["skipped"], "skip": ["skipped"]}, states
        for word in ("too late", "skip"):
            assert "missed" in _runs(live, paths[word])[0]["reason"]
        for path in paths.values():
            assert live.get(path)["next_at"] > datetime.now(timezone.utc).isoformat()
    finally:
        for path in paths.values():
            live.api("DELETE", path)


@contextlib.contextmanager
def _asleep(live: LiveConsole) -> Iterator[None]:
    beat = live.pid("beat")
    os.kill(beat, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(beat, signal.SIGCONT)


def _schedule(live: LiveConsole, minute: int, policy: dict[str, Any]) -> str:
    """The path of one that has nothing to do, each hour."""
    body = {
        "name": f"t-{os.urandom(3).hex()}",
        "cron": f"{minute} * * * *",
        "action": "start",
        "target": {"filter": {"q": "libgo-t-nothing-is-called-so"}},
        **policy,
    }
    made = live.api("POST", "/compute/schedules", body)
    assert made.status_code == 201, made.text
    return f"/compute/schedules/{made.json()['id']}"


def _slept(live: LiveConsole) -> None:
    """What the database has when nobody looked at it for so long."""
    with contextlib.closing(sqlite3.connect(live.var / "libgo.sqlite3", timeout=20)) as base, base:
        for key, at in base.execute("SELECT id, next_at FROM compute_schedule").fetchall():
            then = datetime.fromisoformat(at) - _ASLEEP
            base.execute("UPDATE compute_schedule SET next_at = ? WHERE id = ?", (str(then), key))


def _runs(live: LiveConsole, path: str) -> list[dict[str, Any]]:
    """Those that have come to their end."""
    return [run for run in live.get(f"{path}/runs")["items"] if run["state"] != "running"]
