"""An engine whose answers go wrong, which is another one suddenly, or which never ends what it says."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.catalogue import attack
from tests.engines import PrivateEngine
from tests.faults.cases import QUIET, quiet_body
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured, engine_list, far_node, mirror, node_added
from tests.faulty import FaultyProxy, Rule, answer_of, refusal
from tests.live import LiveConsole, until

_MIB = 1024**2
_CREATE = "POST .*/containers/create"
_INSPECT = "GET .*/containers/[^/?]+/json"
_LIST = r"GET .*/containers/json"
Converged = Callable[[], None]


@pytest.fixture(scope="module")
def live(hasty: LiveConsole) -> LiveConsole:
    return hasty


@pytest.fixture(scope="module")
def node(live: LiveConsole, engine: PrivateEngine) -> Iterator[str]:
    with node_added(live, engine.url) as path:
        yield path


@pytest.fixture
def far(live: LiveConsole, way: FaultyProxy) -> Iterator[str]:
    with far_node(live, way) as name:
        yield name
        way.rules = []


def _name(word: str) -> str:
    return f"libgo-t-{word}{os.getpid()}-{os.urandom(2).hex()}"


def _asked(way: FaultyProxy, match: str) -> int:
    return sum(bool(re.match(match, request)) for request in list(way.asked))


def _remove(live: LiveConsole, node: str) -> None:
    for row in live.get(f"/compute/instances?node={node}&page_size=500")["instances"]:
        answer = live.api("DELETE", f"/compute/instances/{row['id']}?force=true&wait=60")
        # Two nodes lead to the one engine: it may have been removed by the other.
        assert answer.status_code in (200, 404), answer.text


# What is answered to a create, and how that is told. The last of them makes the container and is cut then.
_WRONG: dict[str, tuple[Rule, str]] = {
    "500": (Rule(_CREATE, answer=refusal(500, "the shim is sad"), times=1), "BACKEND_ERROR"),
    "409": (Rule(_CREATE, answer=refusal(409, "a removal is in progress"), times=1), "INVALID_STATE"),
    "429": (Rule(_CREATE, answer=refusal(429, "slow down"), times=1), "BACKEND_UNAVAILABLE"),
    "half": (Rule(_CREATE, answer=answer_of(201, b'{"Id":"ab', length=90), times=1), "BACKEND_UNAVAILABLE"),
    "no JSON": (Rule(_CREATE, answer=answer_of(201, b'{"Id":'), times=1), "BACKEND_UNAVAILABLE"),
    "cut": (Rule(_CREATE, cut_after=40, times=1), "BACKEND_UNAVAILABLE"),
}


@fault(
    "F08",
    "a create is answered with 500, 409, 429, half a body, no JSON, or cut; what only asks, too",
    sees="the create fails, and why; nothing else does: what only asks is asked again",
    keeps="each create was sent once, and nothing of it is left",
)
def test_answers_that_go_wrong_are_told_and_nothing_is_done_twice(
    live: LiveConsole,
    engine: PrivateEngine,
    way: FaultyProxy,
    node: str,
    far: str,
    measured: Measured,
    converged: Converged,
) -> None:
    longest = 0.0
    for word, (rule, code) in _WRONG.items():
        sent, name, began = _asked(way, _CREATE), _name("wrong"), time.monotonic()
        way.rules = [rule]
        answer = live.api("POST", "/compute/instances?wait=60", quiet_body(name, far))
        assert answer.json()["error"]["code"] == code, (word, answer.text)
        assert _asked(way, _CREATE) == sent + 1 and rule.times == 0, word
        assert name not in engine_list(engine), word
        longest = max(longest, time.monotonic() - began)
    measured("told after", longest)
    made = live.create(_name("asks"), "docker", node=far, config=QUIET)
    whole = {"500": refusal(500, "busy"), "429": refusal(429, "slow down")}
    rules = [Rule(_INSPECT, answer=answer, times=2) for answer in whole.values()]
    for rule in (*rules, Rule(_INSPECT, cut_after=300, times=2)):
        way.rules = [rule]
        answer = live.api("PUT", f"/compute/instances/{made['id']}/restart?wait=60", {"timeout": 0})
        assert answer.status_code == 200, answer.text
        until(lambda rule=rule: rule.times == 0, "it was asked", 5)
    _remove(live, far)


@fault(
    "F07 F08",
    "lists of containers are cut off, no JSON, no list, an error; then the engine speaks an older API",
    sees="what was known, stale at the most; then all as before, in the older API",
    keeps="nothing is taken for gone without a complete list",
)
def test_lists_that_are_none_delete_nothing_and_an_older_engine_is_spoken_to_in_its_own_version(
    live: LiveConsole,
    engine: PrivateEngine,
    way: FaultyProxy,
    node: str,
    far: str,
    measured: Measured,
    converged: Converged,
) -> None:
    made = live.create(_name("kept"), "docker", node=far, config=QUIET)
    row = f"/compute/instances/{made['id']}"
    for answer in (
        answer_of(200, b'[{"Id":"ab', length=900),
        answer_of(200, b"["),
        answer_of(200, b'{"message":"no list"}'),
        answer_of(200, b"[7]"),
        refusal(500, "the shim is sad"),
    ):
        asked, way.rules = _asked(way, _LIST), [Rule(_LIST, answer=answer)]
        way.cut()
        until(lambda asked=asked: _asked(way, _LIST) > asked + 1, "it lists again", 15)
        assert live.get(row)["name"] == made["name"]
    way.rules = [
        Rule(
            "[A-Z]+ /v1.41/", answer=refusal(400, "client version 1.41 is too new. Maximum supported API ...")
        ),
        Rule("GET /_ping", answer=answer_of(200, b"OK", api_version="1.40")),
    ]
    way.cut()
    began = time.monotonic()
    until(lambda: not live.get(row)["stale"] and _asked(way, "GET /v1.40/containers/json"), "it is back", 20)
    measured("older API: back after", time.monotonic() - began)
    answer = live.api("PUT", f"{row}/restart?wait=60", {"timeout": 0})
    assert answer.status_code == 200 and _asked(way, "POST /v1.40/containers/.*/restart"), answer.text
    way.rules = []
    until(lambda: mirror(live, far) == engine_list(engine), "the mirror is right", 10)
    _remove(live, far)


@attack(
    "S75",
    "an engine answers what it is asked of one container with JSON that has no end",
    refused="that operation fails, others go on, memory stays flat",
)
@fault(
    "F30",
    "an engine answers what it is asked of one container with JSON that has no end",
    sees="that operation fails, and why; others go on",
    keeps="the memory of worker and watcher stays flat; lists",
)
def test_an_answer_without_end_ends_the_operation_and_nothing_else(
    live: LiveConsole, way: FaultyProxy, node: str, far: str, measured: Measured, converged: Converged
) -> None:
    names = [_name("endless"), _name("well")]
    ill, well = (
        live.create(name, "docker", node=at, config=QUIET)
        for name, at in zip(names, (far, live.get(node)["name"]), strict=True)
    )
    before = _memory(live)
    way.rules = [Rule(f"{_INSPECT}|{_LIST}", answer=answer_of(200, b"[" * 64 * _MIB, length=4 * 1024**3))]
    began = time.monotonic()
    asked = live.api("PUT", f"/compute/instances/{ill['id']}/restart", {"timeout": 0}).json()["operation"]
    other = live.api("PUT", f"/compute/instances/{well['id']}/restart?wait=60", {"timeout": 0})
    assert other.status_code == 200, other.text
    over = live.get(f"/operations/{asked['id']}/wait?timeout=30")
    measured("told after", time.monotonic() - began)
    assert over["state"] == "failed" and "no end" in over["error"]["message"], over
    grown = {name: mib - before[name] for name, mib in _memory(live).items()}
    assert max(grown.values()) < 80, grown
    assert {ill["name"], well["name"]} <= live.names()
    way.rules = []
    way.cut()
    for at in (far, live.get(node)["name"]):
        _remove(live, at)


def _memory(live: LiveConsole) -> dict[str, float]:
    """MiB by process."""
    found: dict[str, float] = {}
    for name in ("worker", "watcher"):
        status = Path(f"/proc/{live.pid(name)}/status").read_text()
        found[name] = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    return found


@fault(
    "F07",
    "the Docker engine is started anew on a host of another name",
    sees="the other name; else nothing",
    keeps="instances, and the node",
)
def test_a_host_of_another_name_is_the_same_node(
    live: LiveConsole, engine: PrivateEngine, node: str, measured: Measured, converged: Converged
) -> None:
    made = live.create(_name("renamed"), "docker", node=live.get(node)["name"], config=QUIET)
    before: dict[str, Any] = live.get(node)
    engine.stop()
    engine.hostname = f"other-{os.urandom(2).hex()}"
    try:
        engine.start()
        seen = until(lambda: live.get(node)["hostname"] == engine.hostname, "the name is seen", 15)
        measured("shown after", seen)
    finally:
        engine.hostname = ""
    until(lambda: not live.get(f"/compute/instances/{made['id']}")["stale"], "it is true again", 10)
    shown = live.get(f"/compute/instances/{made['id']}")
    assert (shown["name"], shown["state"], shown["managed"]) == (made["name"], "running", True)
    assert live.get(node)["name"] == before["name"]
    _remove(live, before["name"])


@fault(
    "F07",
    "the Docker engine is started with another folder of data, and then with its own again",
    sees="its instances are gone, and why; then they are back as what they were",
    keeps="their ids, projects and labels",
)
def test_what_was_gone_with_another_folder_of_data_is_what_it_was_when_it_is_back(
    live: LiveConsole, engine: PrivateEngine, node: str, measured: Measured, converged: Converged
) -> None:
    project = live.api("POST", "/projects", {"name": f"lgt-{os.urandom(3).hex()}"}).json()
    name = live.get(node)["name"]
    made = live.create(_name("rooted"), "docker", node=name, config=QUIET, project=project["name"])
    row, own = f"/compute/instances/{made['id']}", engine.data_root
    marked = live.api("PATCH", row, {"labels": {"tier": "front"}})
    assert marked.status_code == 200, marked.text
    before = live.get(row)
    engine.stop()
    engine.data_root = own.with_name("other")
    try:
        engine.start()
        gone = until(lambda: live.api("GET", row).status_code == 404, "it is gone", 15)
    finally:
        engine.stop()
        engine.data_root = own
        engine.start()
    back = until(lambda: live.api("GET", row).status_code == 200, "it is back", 15)
    measured("gone after", gone)
    measured("back after", back)
    shown = live.get(row)
    for column in ("id", "name", "project", "managed", "labels"):
        assert shown[column] == before[column], column
    assert before["labels"] == {"tier": "front"} and before["managed"]
    _remove(live, name)
