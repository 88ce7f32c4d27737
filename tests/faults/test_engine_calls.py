"""Calls to an engine that is killed, frozen, slow or cut off in the middle of them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import pytest

from compute.errors import ImageNotFound
from tests.dockerapp.images.conftest import ended, lines_of
from tests.engines import PrivateEngine
from tests.faults.cases import QUIET, quiet_body
from tests.faults.catalogue import fault
from tests.faults.conftest import (
    DEADLINE_S,
    STALL_S,
    Measured,
    asked,
    engine_list,
    far_node,
    lists_timed,
    mirror,
    node_added,
)
from tests.faults.gate import GATE_IMAGE, Gate, gate_open
from tests.faulty import FaultyProxy, Rule, faulty_port
from tests.live import LiveConsole, strain, until

_MIB = 1024**2
_BLOBS = "GET .*/blobs/"
_CREATE = "POST .*/containers/create"
Converged = Callable[[], None]


@pytest.fixture(scope="module")
def live(hasty: LiveConsole) -> LiveConsole:
    return hasty


@pytest.fixture(scope="module")
def node(live: LiveConsole, engine: PrivateEngine) -> Iterator[str]:
    with node_added(live, engine.url) as path:
        yield path


@pytest.fixture(scope="module")
def gate(engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with gate_open(engine, tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture
def slow(gate: Gate, engine: PrivateEngine) -> Iterator[Gate]:
    """The registry gives 1 MiB a second of each layer."""
    gate.way.rules = [Rule(_BLOBS, bytes_per_s=_MIB)]
    yield gate
    gate.way.rules = []
    with asked(engine) as backend, contextlib.suppress(ImageNotFound):
        backend.images.remove(GATE_IMAGE, force=True, prune_parents=True)


def _pull(live: LiveConsole, node: str, wait_s: int = 0) -> dict[str, Any]:
    path = f"/docker/images/pull?node={node}" + (f"&wait={wait_s}" if wait_s else "")
    answer = live.api("POST", path, {"image": GATE_IMAGE})
    assert answer.status_code in (200, 202), answer.text
    return dict(answer.json()["operation"])


def _says(live: LiveConsole, operation: dict[str, Any], word: str) -> bool:
    return any(word in line for line in lines_of(live, operation))


def _failed(live: LiveConsole, operation: dict[str, Any], within_s: float) -> tuple[float, dict[str, Any]]:
    began = time.monotonic()
    over = ended(live, operation, within_s)
    assert over["state"] == "failed" and over["error"]["message"], over
    return time.monotonic() - began, over["error"]


@fault(
    "F03",
    "the engine is killed (SIGKILL) in the middle of a pull",
    sees="the pull has failed, and why; the same again succeeds",
    keeps="layers that were complete",
)
def test_a_pull_that_dies_with_its_engine_fails_and_goes_on_when_it_is_asked_for_again(
    live: LiveConsole, engine: PrivateEngine, node: str, slow: Gate, measured: Measured, converged: Converged
) -> None:
    name = live.get(node)["name"]
    operation = _pull(live, name)
    until(lambda: _says(live, operation, "Pull complete"), "one layer is complete", 20)
    engine.kill()
    try:
        took, error = _failed(live, operation, 10)
        assert error["code"] == "BACKEND_UNAVAILABLE", error
        measured("failed after", took)
    finally:
        engine.start()
        slow.renew()
    until(lambda: live.get(node)["status"] == "online", "the node is back", 10)
    again = _pull(live, name, 60)
    assert again["state"] == "succeeded", again
    assert _says(live, again, "Already exists"), lines_of(live, again)
    assert 4 * _MIB < slow.way.passed < 5 * _MIB, f"{slow.way.passed} bytes for the layer that was missing"


@fault(
    "F03 F35",
    "on the way to the engine: cut in the middle of a pull; then nothing passes any more",
    sees="the pull has failed, and why, after seconds",
    keeps="the same again succeeds",
)
def test_a_pull_whose_way_is_cut_or_goes_dead_fails_by_itself(
    live: LiveConsole, way: FaultyProxy, slow: Gate, node: str, measured: Measured, converged: Converged
) -> None:
    with far_node(live, way) as name:
        for word, happens, within_s in (("cut", way.cut, 5), ("dead", way.be_silent, 30)):
            operation = _pull(live, name)
            until(lambda operation=operation: _says(live, operation, "Downloading"), "it is under way", 20)
            happens()
            took, error = _failed(live, operation, within_s)
            assert error["code"] in ("BACKEND_UNAVAILABLE", "BACKEND_TIMEOUT"), error
            measured(f"{word}: failed after", took)
        way.let_through()
        slow.way.rules = []
        until(lambda: live.get(f"/nodes/{name}")["status"] == "online", "the node is back", 15)
        assert _pull(live, name, 60)["state"] == "succeeded"


@fault(
    "F35",
    "a registry gives 20 KiB a second of an image, and then nothing any more",
    sees="the pull can be cancelled; of one that stands still it is said why it was given up, and what to do",
    keeps="the node stays in use; the same again succeeds",
)
def test_a_slow_pull_can_be_cancelled_and_one_that_stands_still_is_given_up(
    live: LiveConsole, slow: Gate, node: str, measured: Measured, converged: Converged
) -> None:
    name = live.get(node)["name"]
    slow.way.rules = [Rule(_BLOBS, bytes_per_s=20 * 1024)]
    operation = _pull(live, name)
    until(lambda: _says(live, operation, "Downloading"), "it is under way", 20)
    began = time.monotonic()
    assert live.api("DELETE", f"/operations/{operation['id']}").status_code == 200
    assert ended(live, operation, 5)["state"] == "cancelled"
    measured("cancelled after", time.monotonic() - began)
    slow.way.rules = [Rule(_BLOBS, holds=True)]
    took, error = _failed(live, _pull(live, name), STALL_S + 6)
    measured("given up after", took)
    assert took > STALL_S and error["code"] == "BACKEND_TIMEOUT", error
    assert "docker.stallTimeout" in error["message"] and live.get(node)["status"] == "online"
    slow.way.rules = []
    slow.way.cut()
    assert _pull(live, name, 60)["state"] == "succeeded"


@fault(
    "F04",
    f"the engine carries out a create after its deadline ({DEADLINE_S} s here) only",
    sees="the create has failed: not known how it ended",
    keeps="what came too late is removed, and never shown",
)
def test_a_create_that_succeeds_after_it_was_given_up_is_taken_back(
    live: LiveConsole,
    engine: PrivateEngine,
    way: FaultyProxy,
    node: str,
    measured: Measured,
    converged: Converged,
) -> None:
    name = f"libgo-t-late{os.getpid()}"
    since = int(time.time())
    with far_node(live, way) as far:
        way.rules = [Rule(_CREATE, delay_s=DEADLINE_S + 2, times=1)]
        asked_for = live.api("POST", "/compute/instances", quiet_body(name, far))
        took, error = _failed(live, asked_for.json()["operation"], 20)
        assert error["code"] == "BACKEND_TIMEOUT", error
        measured("failed after", took)
        client = docker.APIClient(base_url=engine.url, version="1.41")
        told: list[str] = []

        def removed() -> bool:
            told[:] = _told(client, name, since)
            assert name not in _shown_on(live, far)
            return "destroy" in told

        until(removed, "what came too late is removed", 20)
        client.close()
    assert told == ["create", "destroy"], told


def _told(client: docker.APIClient, name: str, since: int) -> list[str]:
    """What happened to it, as the engine remembers."""
    filters = {"container": name, "event": ["create", "destroy"]}
    events = client.events(since=since, until=int(time.time()) + 1, filters=filters, decode=True)
    return [event["Action"] for event in events]


def _shown_on(live: LiveConsole, node: str) -> set[str]:
    return {row["name"] for row in live.get(f"/compute/instances?node={node}&page_size=500")["instances"]}


@fault(
    "F04",
    "the engine is frozen (SIGSTOP) while it is told to start one container and to make another",
    sees="both have ended, well or not known how",
    keeps="one container or none; what is shown is what is there",
)
def test_calls_that_are_frozen_in_the_middle_end_and_what_came_of_them_is_looked_up(
    live: LiveConsole,
    engine: PrivateEngine,
    way: FaultyProxy,
    node: str,
    measured: Measured,
    converged: Converged,
) -> None:
    first, second = (f"libgo-t-ice{os.getpid()}-{number}" for number in range(2))
    with far_node(live, way) as far:
        made = live.create(first, "docker", node=far, config=QUIET, auto_start=False)
        way.rules = [Rule(f"{_CREATE}|POST .*/start", delay_s=1.0, times=2)]
        start = live.api("PUT", f"/compute/instances/{made['id']}/start").json()["operation"]
        create = live.api("POST", "/compute/instances", quiet_body(second, far)).json()["operation"]
        until(lambda: way.rules[0].times == 0, "both are on their way", 10)
        os.kill(engine.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            time.sleep(DEADLINE_S + 3)
        finally:
            os.kill(engine.pid, signal.SIGCONT)
        outcomes = [ended(live, operation, 20)["state"] for operation in (start, create)]
        measured("ended after", time.monotonic() - began)
        assert set(outcomes) <= {"succeeded", "failed"}, outcomes
        until(lambda: mirror(live, far) == engine_list(engine), "what is shown is what is there", 20)
        assert mirror(live, far)[first] == "running", "a late start counts as well"
        assert (second in engine_list(engine)) == (outcomes[1] == "succeeded"), outcomes
        for row in live.get(f"/compute/instances?node={far}")["instances"]:
            answer = live.api("DELETE", f"/compute/instances/{row['id']}?force=true&wait=60")
            assert answer.status_code == 200, answer.text


@fault(
    "F35",
    "each call to an engine takes 2 seconds more",
    sees="its operations take longer; lists and other nodes do not",
    keeps="the node stays in use",
)
def test_a_slow_engine_makes_only_its_own_work_slow(
    live: LiveConsole, way: FaultyProxy, node: str, measured: Measured, converged: Converged
) -> None:
    with far_node(live, way) as far, _other(live, node) as other:
        made = live.create(f"libgo-t-slow{os.getpid()}", "docker", node=far, config=QUIET, auto_start=False)
        usual = min(_restarted(live, other) for _ in range(2))
        way.rules = [Rule(delay_s=2.0)]
        with lists_timed(live) as lists, ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            path = f"/compute/instances/{made['id']}"
            starting = pool.submit(live.api, "PUT", f"{path}/start?wait=60")
            meanwhile = min(_restarted(live, other) for _ in range(2))
            assert starting.result().status_code == 200, starting.result().text
            measured("a start took", time.monotonic() - began)
        measured("others took before", usual)
        measured("others meanwhile", meanwhile)
        measured("slowest list", max(lists))
        assert max(lists) < 1 * strain() and meanwhile < usual + 1 * strain()
        assert live.get(f"/nodes/{far}")["status"] == "online"
        way.rules = []
        assert live.api("DELETE", f"{path}?force=true&wait=60").status_code == 200


@contextlib.contextmanager
def _other(live: LiveConsole, node: str) -> Iterator[str]:
    """A container on a node that is well; its path."""
    made = live.create(f"libgo-t-o{os.getpid()}", "docker", node=live.get(node)["name"], config=QUIET)
    path = f"/compute/instances/{made['id']}"
    try:
        yield path
    finally:
        removed = live.api("DELETE", f"{path}?force=true&wait=60")
    assert removed.status_code == 200, removed.text


def _restarted(live: LiveConsole, path: str) -> float:
    """The seconds that a kill and a start took."""
    began = time.monotonic()
    for action, body in (("stop", {"force": True}), ("start", {})):
        answer = live.api("PUT", f"{path}/{action}?wait=60", body)
        assert answer.status_code == 200, answer.text
    return time.monotonic() - began


@fault(
    "F34",
    "one remote node takes connections and never answers; of another all packets are lost",
    sees="both unreachable, changes refused with 503 at once; lists and other nodes as before",
    keeps="instances, stale in their last state",
)
def test_nodes_that_fall_silent_are_noticed_and_delay_nobody(
    live: LiveConsole,
    engine: PrivateEngine,
    way: FaultyProxy,
    node: str,
    measured: Measured,
    converged: Converged,
) -> None:
    lost = faulty_port(engine.socket)
    try:
        with far_node(live, way) as silent, far_node(live, lost) as dropped, _other(live, node) as other:
            name = f"libgo-t-far{os.getpid()}"
            live.create(name, "docker", node=silent, config=QUIET)
            until(lambda: name in _shown_on(live, dropped), "both show it", 5)
            usual = min(_restarted(live, other) for _ in range(2))
            way.be_silent()
            lost.drop_packets()
            with lists_timed(live) as lists:
                began, nodes = time.monotonic(), (silent, dropped)
                meanwhile = min(_restarted(live, other) for _ in range(2))
                for word in nodes:
                    until(lambda word=word: _status(live, word) == "unreachable", f"{word} is noticed", 12)
                measured("shown after", time.monotonic() - began)
                for word in nodes:
                    _refused_at_once(live, word, name)
            measured("others took before", usual)
            measured("others meanwhile", meanwhile)
            measured("slowest list", max(lists))
            assert max(lists) < 1 * strain() and meanwhile < usual + 1 * strain()
            way.let_through()
            lost.let_through()
            began = time.monotonic()
            for word in nodes:
                until(lambda word=word: _status(live, word) == "online", f"{word} is back", 15)
            measured("back after", time.monotonic() - began)
            row = _row(live, silent, name)
            assert live.api("DELETE", f"/compute/instances/{row['id']}?force=true&wait=60").status_code == 200
    finally:
        lost.close()


def _status(live: LiveConsole, node: str) -> str:
    return str(live.get(f"/nodes/{node}")["status"])


def _row(live: LiveConsole, node: str, name: str) -> dict[str, Any]:
    rows = live.get(f"/compute/instances?node={node}&page_size=500")["instances"]
    return next(dict(row) for row in rows if row["name"] == name)


def _refused_at_once(live: LiveConsole, node: str, name: str) -> None:
    row = _row(live, node, name)
    assert row["stale"] and row["state"] == "running", row
    began = time.monotonic()
    refused = live.api("PUT", f"/compute/instances/{row['id']}/restart?wait=10")
    assert refused.status_code == 503 and refused.json()["error"]["code"] == "BACKEND_UNAVAILABLE"
    assert time.monotonic() - began < 1 * strain()
