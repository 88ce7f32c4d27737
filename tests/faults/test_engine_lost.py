"""A Docker engine that stops, dies, hangs and returns, while everything else goes on.

The engine is a second one of the test's own, in its own network name space.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import docker

from tests.engines import PrivateEngine
from tests.faults.cases import QUIET, quiet_body
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured, engine_list
from tests.live import LiveConsole, strain, until


@fault(
    "F01",
    "the Docker engine is killed (SIGKILL), one container while it is down, and another by its start",
    sees="node unreachable, instances stale in their last state, changes refused with 503 at once",
    keeps="instances; the states of all are right when it is back",
)
def test_a_killed_engine_marks_its_instances_refuses_quickly_and_all_is_true_again(
    live: LiveConsole, engine: PrivateEngine, node: str, measured: Measured, converged: Callable[[], None]
) -> None:
    names = [f"libgo-t-l{os.getpid()}-{number}" for number in range(3)]
    for name in names:
        live.create(name, "docker", node=live.get(node)["name"], config=QUIET)
    by_hand, by_start, again = names
    client = docker.APIClient(base_url=engine.url, version="1.41")
    client.update_container(again, restart_policy={"Name": "always"})
    pid = client.inspect_container(by_hand)["State"]["Pid"]
    client.close()
    engine.kill()
    os.kill(pid, signal.SIGKILL)
    seen = until(lambda: live.get(node)["status"] == "unreachable", "the node is marked", 3)
    measured("shown after", seen)
    for name in names:
        shown = live.get(f"/compute/instances/{name}")
        assert shown["stale"] and shown["state"] == "running" and "unreachable" in shown["status"], shown
    began = time.monotonic()
    refused = live.api("PUT", f"/compute/instances/{by_start}/restart?wait=10")
    took = time.monotonic() - began
    assert refused.status_code == 503 and refused.json()["error"]["code"] == "BACKEND_UNAVAILABLE"
    assert took < 2 * strain(), f"the refusal took {took:.1f} s"
    assert live.get("/nodes/local-kvm")["status"] == "online", "KVM goes on"
    # This one kills what still runs, and starts what shall always run.
    engine.live_restore = False
    try:
        engine.start()
    finally:
        engine.live_restore = True
    back = until(lambda: not live.get(f"/compute/instances/{again}")["stale"], "true again", 6)
    wanted = {by_hand: "stopped", by_start: "stopped", again: "running"}
    right = until(
        lambda: {name: live.shown(name)["state"] for name in names} == wanted, "states are right", 5
    )
    assert back + right < 6
    measured("true again after", back + right)
    for name in names:
        removed = live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60")
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
        assert time.monotonic() - began < 2 * strain()
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
    body = quiet_body(name, live.get(node)["name"])
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
        assert live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60").status_code == 200
