"""The short way to a worker: a broker of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute import lane
from libgo_site.launch.broker import broker_command, broker_wait
from tests.live import strain, until


@pytest.fixture
def broker(tmp_path: Path, settings: Any) -> Iterator[subprocess.Popen[bytes]]:
    path = tmp_path / "broker.sock"
    process = subprocess.Popen(broker_command(path), stdout=subprocess.DEVNULL)
    assert broker_wait(path)
    settings.REDIS_URL = f"unix://{path}"
    lane._near.cache_clear()
    yield process
    process.send_signal(signal.SIGCONT)
    process.terminate()
    process.wait(10)
    lane._near.cache_clear()
    lane._gate.__init__()  # type: ignore[misc]


class Worker:
    """A lane that notes what it got; ``held`` keeps those it has at work."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.sent_on: list[str] = []
        self.held = threading.Event()
        self.held.set()
        self.lane = lane.Lane(self._run, self.sent_on.append)
        self.lane.start()

    def _run(self, operation_id: str) -> None:
        self.ran.append(operation_id)
        assert self.held.wait(20)
        assert operation_id != "bad", "this one fails"


@pytest.fixture
def worker(broker: subprocess.Popen[bytes]) -> Iterator[Worker]:
    made = Worker()
    yield made
    made.held.set()
    made.lane.end()


def test_each_is_carried_out_once_by_one_worker_also_what_waited_for_it(
    broker: subprocess.Popen[bytes],
) -> None:
    assert all(lane.lane_push(str(number)) for number in range(5))
    workers = [Worker(), Worker()]
    try:
        assert all(lane.lane_push(str(number)) for number in range(5, 10))
        until(lambda: sum(len(each.ran) for each in workers) == 10, "all ran", 10)
        assert sorted(int(one) for each in workers for one in each.ran) == list(range(10))
    finally:
        for each in workers:
            each.lane.end()


def test_what_finds_no_place_is_sent_on(worker: Worker) -> None:
    worker.held.clear()
    for number in range(lane._PLACES + 2):
        assert lane.lane_push(str(number))
    until(lambda: len(worker.sent_on) == 2, "two found none", 10)
    assert len(worker.ran) == lane._PLACES


def test_one_that_fails_costs_no_other(worker: Worker) -> None:
    for _ in range(lane._PLACES + 1):
        assert lane.lane_push("bad")
        assert lane.lane_push("good")
    until(lambda: worker.ran.count("good") + worker.sent_on.count("good") == lane._PLACES + 1, "all", 10)


def test_what_is_passed_on_is_heard_by_the_newer_worker_also_by_one_that_starts_then(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = lane.PAYLOAD_VERSION + 1
    lane.lane_pass("early", newer)
    monkeypatch.setattr(lane, "PAYLOAD_VERSION", newer)
    other = Worker()
    try:
        lane.lane_pass("late", newer)
        until(lambda: other.ran == ["early", "late"], "it hears both", 10)
        assert worker.ran == []
    finally:
        other.lane.end()


def test_a_lane_that_ends_takes_nothing_more(worker: Worker) -> None:
    worker.held.clear()
    assert lane.lane_push("begun")
    until(lambda: worker.ran == ["begun"], "it has begun", 10)
    worker.lane.end()
    assert lane.lane_push("late")
    time.sleep(lane._POP_S + 0.5)
    assert worker.ran == ["begun"]


def test_a_broker_that_hangs_holds_one_for_a_moment_and_the_others_not_at_all(
    broker: subprocess.Popen[bytes], worker: Worker
) -> None:
    assert lane.lane_push("first")
    os.kill(broker.pid, signal.SIGSTOP)
    began = time.monotonic()
    assert not lane.lane_push("hangs")
    assert time.monotonic() - began < 1 * strain()
    began = time.monotonic()
    assert not any(lane.lane_push(str(number)) for number in range(100))
    assert time.monotonic() - began < 0.2 * strain()


def test_a_broker_that_came_back_is_heard_again(broker: subprocess.Popen[bytes], worker: Worker) -> None:
    broker.kill()
    broker.wait(10)
    assert not lane.lane_push("lost")
    path = lane.settings.REDIS_URL.removeprefix("unix://")
    again = subprocess.Popen(broker_command(Path(path)), stdout=subprocess.DEVNULL)
    try:
        assert broker_wait(Path(path))
        until(lambda: lane.lane_push("again"), "it is taken again", lane._SHUT_S + 5)
        until(lambda: "again" in worker.ran, "it is heard", 15)
        assert "lost" not in worker.ran
    finally:
        again.terminate()
        again.wait(10)
