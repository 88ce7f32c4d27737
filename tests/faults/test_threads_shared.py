"""The threads that answer are everybody's: whoever waits for one engine that hangs takes them from nobody."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.attacks.catalogue import attack
from tests.engines import PrivateEngine
from tests.faults.cases import QUIET
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.live import LiveConsole, until

# More than there are threads, and as impatient as a client may be.
_ASKED = 60


def _changes(live: LiveConsole, name: str) -> requests.Response:
    """What only its engine knows of a container, and LibGo waits for up to half a minute."""
    headers = {"Authorization": f"Bearer {live.token()}"}
    return requests.get(f"{live.url}/api/v1/docker/containers/{name}/changes", headers=headers, timeout=60)


@attack(
    "S81",
    "an engine that hangs, asked sixty times at once",
    refused="503 with Retry-After for all but five; whoever asks another node does not notice",
)
@fault(
    "F05",
    "the Docker engine is frozen (SIGSTOP), and one person asks it sixty times at once",
    sees="503 with Retry-After, or that the node does not answer",
    keeps="whoever works on another node does not notice",
)
def test_who_asks_a_hanging_engine_often_delays_nobody_on_another_node(
    live: LiveConsole, engine: PrivateEngine, node: str, name: str, measured: Measured
) -> None:
    there = f"libgo-t-h{os.getpid()}"
    live.create(there, "docker", node=live.get(node)["name"], config=QUIET)
    live.create(name, "docker", node="local-docker", config=QUIET)
    assert _changes(live, there).status_code == _changes(live, name).status_code == 200
    assert engine.process is not None
    with ThreadPoolExecutor(_ASKED) as hands:
        engine.process.send_signal(signal.SIGSTOP)
        try:
            asked = [hands.submit(_changes, live, there) for _ in range(_ASKED)]
            time.sleep(1)
            slowest = max(_took(live, name) for _ in range(8))
            measured("the other node answered within", slowest)
        finally:
            engine.process.send_signal(signal.SIGCONT)
        answers = [one.result() for one in asked]
    assert slowest < 8, f"another node took {slowest:.1f} s"
    waited = [one for one in answers if one.elapsed.total_seconds() > 1]
    assert len(waited) >= 5, "the engine was not frozen"
    busy = [one for one in answers if one.headers.get("Retry-After") == "2"]
    assert len(busy) >= _ASKED - 16, [one.text for one in answers]
    for one in busy:
        assert one.status_code == 503 and one.json()["error"]["details"]["reason"] == "busy", one.text
    until(lambda: live.get(node)["status"] == "online", "the node is back", 15)
    until(lambda: _changes(live, there).status_code == 200, "its engine is asked again", 10)
    assert live.api("DELETE", f"/compute/instances/{there}?force=true&wait=30").status_code == 200


def _took(live: LiveConsole, name: str) -> float:
    began = time.monotonic()
    answer = _changes(live, name)
    assert answer.status_code == 200, answer.text
    return time.monotonic() - began
