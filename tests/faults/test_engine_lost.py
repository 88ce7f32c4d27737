"""A Docker engine that stops, dies, hangs and returns, while everything else goes on.

The engine is a second one of the test's own, in its own network name space.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from tests.engines import PrivateEngine
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured, engine_list
from tests.live import LiveConsole, until

_CONFIG = {"image": "libgo/demo:latest", "network_mode": "none"}


@fault(
    "F01 (part)",
    "the Docker engine is ended and started again",
    sees="node unreachable, instances stale in their last state, changes refused with 503 at once",
    keeps="instances and their states",
)
def test_a_stopped_engine_marks_its_instances_refuses_quickly_and_all_is_true_again(
    live: LiveConsole, engine: PrivateEngine, node: str, measured: Measured, converged: Callable[[], None]
) -> None:
    name = f"libgo-t-l{os.getpid()}"
    live.create(name, "docker", node=live.get(node)["name"], config=_CONFIG)
    engine.stop()
    seen = until(lambda: live.get(node)["status"] == "unreachable", "the node is marked", 3)
    measured("shown after", seen)
    shown = live.get(f"/compute/instances/{name}")
    assert shown["stale"] and shown["state"] == "running" and "unreachable" in shown["status"]
    began = time.monotonic()
    refused = live.api("PUT", f"/compute/instances/{name}/restart?wait=10")
    took = time.monotonic() - began
    assert refused.status_code == 503 and refused.json()["error"]["code"] == "BACKEND_UNAVAILABLE"
    assert took < 2, f"the refusal took {took:.1f} s"
    assert live.get("/nodes/local-kvm")["status"] == "online", "KVM goes on"
    engine.start()
    back = until(lambda: not live.get(f"/compute/instances/{name}")["stale"], "true again", 6)
    assert back < 5
    measured("true again after", back)
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "running", "still running", 3)
    removed = live.api("DELETE", f"/compute/instances/{name}?force=true&wait=30")
    assert removed.status_code == 200, removed.text


@fault(
    "F05",
    "the Docker engine is frozen (SIGSTOP) and thawed",
    sees="lists answer as before, node unreachable until it is back",
    keeps="instances; nobody else waits",
)
def test_a_hanging_engine_is_noticed_and_delays_nobody_else(
    live: LiveConsole, engine: PrivateEngine, node: str, measured: Measured, converged: Callable[[], None]
) -> None:
    assert engine.process is not None
    engine.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert live.get("/compute/instances") is not None
        assert live.get("/compute/cluster/status")["backends"]["kvm"]["status"] == "healthy"
        assert time.monotonic() - began < 2
        seen = until(lambda: live.get(node)["status"] == "unreachable", "the hang is noticed", 10)
        measured("shown after", seen)
    finally:
        engine.process.send_signal(signal.SIGCONT)
    measured("back after", until(lambda: live.get(node)["status"] == "online", "the node is back", 15))


@fault(
    "F02",
    "the Docker engine is killed (SIGKILL) while a container is made",
    sees="the operation fails or succeeds, never neither",
    keeps="one container or none, never two and never a half",
)
def test_a_killed_engine_in_the_middle_of_a_create_leaves_one_or_none(
    live: LiveConsole, engine: PrivateEngine, node: str, measured: Measured, converged: Callable[[], None]
) -> None:
    name = f"libgo-t-k{os.getpid()}"
    body = {"name": name, "backend": "docker", "node": live.get(node)["name"], "config": _CONFIG}
    asked = live.api("POST", "/compute/instances", body)
    assert asked.status_code == 202, asked.text
    engine.kill()
    try:
        path = f"/operations/{asked.json()['operation']['id']}"
        final = ("succeeded", "failed")
        seen = until(lambda: live.get(path)["state"] in final, "it ends by itself", 60)
        measured("ended after", seen)
    finally:
        engine.start()
    measured("back after", until(lambda: live.get(node)["status"] == "online", "the node is back", 15))
    converged()
    there = name in engine_list(engine)
    assert there == (live.get(path)["state"] == "succeeded")
    if there:
        assert live.api("DELETE", f"/compute/instances/{name}?force=true&wait=30").status_code == 200
