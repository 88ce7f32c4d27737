"""A broker that forgets everything or hangs: rows of the database are the queue, the broker only rings."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.faults.cases import quiet_body
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.live import LiveConsole, strain, until

_HANGS_S = 6.0


def _body(live: LiveConsole, node: str, number: int) -> dict[str, Any]:
    name = f"libgo-t-b{os.getpid()}-{number}-{os.urandom(2).hex()}"
    return quiet_body(name, live.get(node)["name"])


def _all_run(live: LiveConsole, names: list[str]) -> bool:
    shown = {row["name"]: row["state"] for row in live.get("/compute/instances?page_size=500")["instances"]}
    return all(shown.get(name) == "running" for name in names)


@pytest.fixture
def broker(live: LiveConsole) -> redis.Redis:
    sockets = list((live.var / "run").rglob("*redis*.sock")) + list((live.var / "run").rglob("*broker*.sock"))
    assert sockets, list((live.var / "run").iterdir())
    return redis.Redis(unix_socket_path=str(sockets[0]))


def _remove(live: LiveConsole, names: list[str]) -> None:
    for name in names:
        live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60")


@fault(
    "F15",
    "the broker forgets everything (FLUSHALL) while 6 containers wait to be made",
    sees="the containers come, some seconds later",
    keeps="every operation, each done once",
)
def test_a_broker_that_forgets_loses_no_operation(
    live: LiveConsole,
    node: str,
    broker: redis.Redis,
    measured: Measured,
    converged: Callable[[], None],
) -> None:
    bodies = [_body(live, node, number) for number in range(6)]
    for body in bodies:
        assert live.api("POST", "/compute/instances", body).status_code == 202
    broker.flushall()
    names = [body["name"] for body in bodies]
    try:
        measured("all made after", until(lambda: _all_run(live, names), "all are made", 60))
    finally:
        _remove(live, names)
    converged()


@fault(
    "F17 (part)",
    f"the broker hangs (SIGSTOP) for {_HANGS_S:.0f} seconds",
    sees="a list answers at once; a create begins when the broker is back",
    keeps="every operation that was taken",
)
def test_a_hanging_broker_stops_no_reading(
    live: LiveConsole, node: str, measured: Measured, converged: Callable[[], None]
) -> None:
    body, token, pid = _body(live, node, 9), live.token(), live.pid("broker")
    assert token
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert live.get("/compute/instances") is not None
        took = time.monotonic() - began
        assert took < 3 * strain(), f"a list took {took:.1f} s"
        measured("a list took", took)
        time.sleep(_HANGS_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    answer = live.api("POST", "/compute/instances", body)
    assert answer.status_code == 202, answer.text
    try:
        measured("made after", until(lambda: _all_run(live, [body["name"]]), "it is made", 40))
    finally:
        _remove(live, [body["name"]])
    converged()
