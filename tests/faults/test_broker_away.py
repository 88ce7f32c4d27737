"""A broker that is killed, away or sick, and workers that are deaf, told twice or told to go."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.brokers import Broker
from tests.crowd import crowd
from tests.failpoints import Rule
from tests.faults.cases import MACHINE
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.faults.shaky import TASK, Shaky
from tests.live import ENDED, strain, until
from tests.sockets import facts_followed

QUEUED, RUNNING = 20, 2
_AWAY_S = 6.0
# More than the web process has threads.
_MANY = 20


@fault(
    "F14",
    f"the broker is killed (SIGKILL) and started again while {RUNNING} containers are made and {QUEUED} wait",
    sees="all are made, the waiting ones some seconds later",
    keeps="every operation; each is done once",
)
def test_a_killed_broker_loses_nothing_and_does_nothing_twice(shaky: Shaky, measured: Measured) -> None:
    names = shaky.names(RUNNING + QUEUED)
    shaky.points.set(*(Rule("instance.create", name, "begin") for name in names[:RUNNING]))
    operations = [shaky.ask(name) for name in names[:RUNNING]]
    until(lambda: set(names[:RUNNING]) <= set(shaky.points.struck()), "two are at work", 20)
    worker = shaky.live.pid("worker")
    # Asleep, so that all the others really wait when the broker dies.
    os.kill(worker, signal.SIGSTOP)
    try:
        operations += [shaky.ask(name) for name in names[RUNNING:]]
        shaky.broker.kill()
        shaky.broker.start()
    finally:
        os.kill(worker, signal.SIGCONT)
    shaky.points.set()
    measured("all made after", shaky.succeeded(operations, 60))
    shaky.once_each(operations, names)


@fault(
    "F16",
    f"the broker is away for {_AWAY_S:.0f} seconds",
    sees="lists answer, what is asked for is taken at once and begins afterwards; pages say that "
    "their line is lost, and are told again",
    keeps="every operation; each is done once",
)
def test_while_the_broker_is_away_reading_works_and_work_is_taken(shaky: Shaky, measured: Measured) -> None:
    with facts_followed(shaky.live) as followed:
        began = time.monotonic()
        _work_while_it_is_away(shaky, measured)
        (first, *_), codes = followed.ends, {code for code, _ in followed.ends}
        measured("an open socket was told after", first[1] - began)
        assert codes == {4503} and first[1] - began < 2, followed.ends
        (name,) = shaky.names(1)
        operation = shaky.ask(name)
        until(lambda: ("operation.succeeded", operation) in followed.facts, "who came back is told", 15)


def _work_while_it_is_away(shaky: Shaky, measured: Measured) -> None:
    names, took = shaky.names(3), []
    shaky.broker.kill()
    ends = time.monotonic() + _AWAY_S
    operations = []
    try:
        for name in names:
            began = time.monotonic()
            operations.append(shaky.ask(name))
            assert shaky.live.get("/compute/instances") is not None
            took.append(time.monotonic() - began)
        assert {shaky.outcome(one)["state"] for one in operations} == {"queued"}
        time.sleep(max(0.0, ends - time.monotonic()))
    finally:
        shaky.broker.start()
    measured("a create and a list took at most", max(took))
    assert max(took) < 2 * strain(), took
    measured("made after", shaky.succeeded(operations, 60))
    shaky.once_each(operations, names)


@contextlib.contextmanager
def _full(broker: Broker) -> Iterator[None]:
    was = str(broker.client.config_get("maxmemory")["maxmemory"])
    broker.client.config_set("maxmemory", "1")
    try:
        yield
    finally:
        broker.client.config_set("maxmemory", was)


@contextlib.contextmanager
def _read_only(broker: Broker) -> Iterator[None]:
    """A replica of nobody: what it has can be read, and nothing written."""
    broker.client.replicaof("127.0.0.1", 1)
    try:
        yield
    finally:
        broker.client.replicaof("NO", "ONE")


@contextlib.contextmanager
def _slow(broker: Broker) -> Iterator[None]:
    """Nobody gets an answer for ten seconds."""
    broker.client.client_pause(10000)
    began = time.monotonic()
    yield
    time.sleep(max(0.0, began + 10 - time.monotonic()))


@fault(
    "F17",
    "the broker refuses every write, or is silent for ten seconds while many containers are asked for",
    sees="lists and those who ask are answered within seconds; what was taken begins by itself afterwards",
    keeps="every operation; each is done once",
)
@pytest.mark.parametrize(
    ("state", "count"), [(_full, 4), (_read_only, 4), (_slow, _MANY)], ids=["full", "read-only", "10 s late"]
)
def test_a_sick_broker_costs_time_and_nothing_else(
    shaky: Shaky, state: Any, count: int, measured: Measured
) -> None:
    names, reads = shaky.names(count), []
    assert shaky.live.token()
    with state(shaky.broker), ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        asking = pool.submit(crowd, count, lambda number: shaky.create(names[number]))
        for _ in range(3):
            time.sleep(0.3)
            reads.append(_seconds_of_a_list(shaky))
        asked = asking.result()
        measured("all had their answer after", time.monotonic() - began)
    assert asked.counts == {(202, ""): count}
    measured("a list took at most", max(reads))
    assert max(reads) < 6 * strain(), reads
    operations = [made["operation"]["id"] for made in asked.accepted]
    measured("made after", shaky.succeeded(operations, 60))
    shaky.once_each(operations, names)


def _seconds_of_a_list(shaky: Shaky) -> float:
    began = time.monotonic()
    assert shaky.live.get("/compute/instances") is not None
    return time.monotonic() - began


@fault(
    "F18",
    "a worker that lives stops taking work",
    sees="what is short is carried out all the same; a new worker comes half a minute later",
    keeps="every operation; each is done once",
)
def test_a_deaf_worker_is_replaced(shaky: Shaky, measured: Measured) -> None:
    before = shaky.live.pid("worker")
    shaky.broker.celery.control.cancel_consumer("libgo")
    time.sleep(1)
    names = shaky.names(2)
    operations = [shaky.ask(name) for name in names]
    measured("made after", shaky.succeeded(operations, 60))
    until(lambda: shaky.live.pid("worker") not in (0, before), "the deaf one is gone", 60)
    shaky.once_each(operations, names)


@fault(
    "F24",
    "the task of one operation is delivered 20 times at once, and again when it is over",
    sees="one operation",
    keeps="one run, one container",
)
def test_a_task_delivered_many_times_runs_once(shaky: Shaky, measured: Measured) -> None:
    (name,) = shaky.names(1)
    shaky.points.set(Rule("instance.create", name, "begin"))
    since = int(time.time())
    operation = shaky.ask(name)
    for _ in range(20):
        shaky.broker.celery.send_task(TASK, (operation,))
    until(lambda: name in shaky.points.struck(), "it is at work", 20)
    until(lambda: not shaky.broker.client.llen("libgo"), "all were taken", 20)
    shaky.points.set()
    measured("made after", shaky.succeeded([operation], 30))
    for _ in range(5):
        shaky.broker.celery.send_task(TASK, (operation,))
    until(lambda: not shaky.broker.client.llen("libgo"), "all were taken", 20)
    time.sleep(1)
    shaky.once_each([operation], [name])
    assert shaky.outcome(operation)["state"] == "succeeded"
    assert _made_on_engine(name, since) == 1


def _made_on_engine(name: str, since: int) -> int:
    """How often the engine was told to make a container of this name."""
    words = ["docker", "events", "--since", str(since), "--until", str(int(time.time()) + 1)]
    words += ["--filter", f"container={name}", "--filter", "event=create", "--format", "{{.Action}}"]
    return len(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split())


@fault(
    "F23",
    "the worker is told to go (SIGTERM) while it exports a machine; then the console, which has no time",
    sees="what was begun is finished; what has no time for it is interrupted, with the reason",
    keeps="no copy and no file of an export that did not end",
)
def test_a_worker_that_is_told_to_go_finishes_or_is_cleaned_up_after(
    shaky: Shaky, measured: Measured
) -> None:
    (name,) = shaky.names(1)
    shaky.live.create(name, "kvm", config=MACHINE, auto_start=False)
    rule = Rule("instance.export", name, "begin")
    shaky.points.set(rule)
    operation, before = _export(shaky, name), shaky.live.pid("worker")
    until(lambda: name in shaky.points.struck(), "it is at work", 20)
    os.kill(before, signal.SIGTERM)
    time.sleep(2)
    assert shaky.live.pid("worker") == before, "it waits for what it has begun"
    shaky.points.set()
    measured("ended after", shaky.succeeded([operation], 40))
    until(lambda: shaky.live.pid("worker") not in (0, before), "another has come", 20)
    shaky.points.set(rule)
    cut_off = _export(shaky, name)
    until(lambda: shaky.points.struck().get(name) == cut_off, "it is at work", 30)
    began = time.monotonic()
    shaky.live.stop()
    measured("the console was down after", time.monotonic() - began)
    shaky.points.set()
    shaky.live.start()
    measured("closed after", until(lambda: shaky.outcome(cut_off)["state"] in ENDED, "it is closed", 40))
    ended = shaky.outcome(cut_off)
    assert ended["state"] == "interrupted" and "worker was lost" in ended["error"]["message"], ended
    kept = [path.name for path in (shaky.live.var / "exports").iterdir()]
    assert kept == [shaky.outcome(operation)["result"]["export"]], kept


def _export(shaky: Shaky, name: str) -> str:
    answer = shaky.live.api("POST", f"/compute/instances/{name}/export", {"format": "qcow2"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["operation"]["id"])
