"""A hundred who create at once against a limit of twenty, also while workers are killed."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
import requests
from docker import DockerClient

from tests.attacks.catalogue import attack
from tests.crowd import creates, crowd
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.faults.shaky import Shaky
from tests.live import LiveConsole, until
from tests.people import Caller, World, people_make

LIMIT, CROWD = 20, 100
FEW, MIXED = 5, 50
# Let in, and refused by the engine.
_BAD = {"backend": "docker", "config": {"image": "libgo/demo:latest", "command": ["/no/such/program"]}}
# A lost worker is noticed when its lease has run out, and the sweeper has come by.
_SETTLED_WITHIN_S = 90.0


@pytest.fixture(scope="module")
def console(shaky_console: Shaky) -> LiveConsole:
    """These tests kill its workers."""
    return shaky_console.live


@pytest.fixture(scope="module")
def team(console: LiveConsole) -> World:
    return people_make(console)


@pytest.fixture
def operator(team: World) -> Iterator[Caller]:
    """Of a project that may have twenty instances."""
    who = team.a
    team.admin.ok("PUT", f"/projects/{who.project}/limits", {"max_instances": LIMIT})
    yield who
    for name in _names(who):
        team.admin.call("DELETE", f"/compute/instances/{name}?force=true")
    until(lambda: not _names(who), "all are deleted", 60)


def _names(who: Caller) -> list[str]:
    found = who.ok("GET", f"/compute/instances?project={who.project}&page_size=500")
    return [row["name"] for row in found["instances"]]


def _in_engine(prefix: str) -> list[str]:
    client = DockerClient.from_env()
    try:
        return sorted(item.name for item in client.containers.list(all=True) if item.name.startswith(prefix))
    finally:
        client.close()


def _active(who: Caller) -> int:
    return sum(int(who.ok("GET", f"/operations?state={state}")["total"]) for state in ("queued", "running"))


def _refused_clearly(error: dict[str, object]) -> bool:
    details = error["details"]
    assert isinstance(details, dict)
    told = (details["limit"], details["maximum"], details["asked"])
    return error["code"] == "RESOURCE_LIMIT_EXCEEDED" and told == ("max_instances", LIMIT, 1)


@attack("S84", "100 creates at once against a limit of 20", refused="exactly 20")
def test_a_hundred_at_once_get_exactly_twenty(operator: Caller) -> None:
    prefix = f"libgo-t-{uuid.uuid4().hex[:6]}"
    found = crowd(CROWD, creates(operator, prefix))
    assert found.counts == {(202, ""): LIMIT, (403, "RESOURCE_LIMIT_EXCEEDED"): CROWD - LIMIT}
    assert all(_refused_clearly(error) for error in found.refusals)
    until(lambda: not _active(operator), "all operations ended", 120)
    wanted = sorted(made["instance"]["name"] for made in found.accepted)
    assert sorted(_names(operator)) == wanted == _in_engine(prefix)
    used = operator.ok("GET", f"/projects/{operator.project}/limits")["usage"]
    assert used["instances"] == LIMIT
    assert int(operator.ok("GET", "/operations?state=succeeded&action=instance.create")["total"]) == LIMIT


def test_the_same_with_workers_killed_in_the_middle(operator: Caller, console: LiveConsole) -> None:
    prefix = f"libgo-t-{uuid.uuid4().hex[:6]}"
    ask = creates(operator, prefix)
    found = crowd(CROWD, ask)
    assert found.counts == {(202, ""): LIMIT, (403, "RESOURCE_LIMIT_EXCEEDED"): CROWD - LIMIT}
    # One that is at work, then the one that took its place.
    for _ in range(2):
        victim = console.pid("worker")
        until(lambda: _running(operator), "one is at work", 30)
        console.kill("worker")
        until(lambda before=victim: console.pid("worker") not in (0, before), "another has come", 30)
    until(lambda: not _active(operator), "all operations ended", _SETTLED_WITHIN_S)
    there = sorted(_names(operator))
    until(lambda: _in_engine(prefix) == there, "the engine has what the console shows", 30)
    lost = [made for made in found.accepted if made["instance"]["name"] not in there]
    assert len(there) + len(lost) == LIMIT
    for made in lost:
        ended = operator.ok("GET", f"/operations/{made['operation']['id']}")
        assert ended["state"] == "failed" and "worker was lost" in ended["error"]["message"], ended
    # The places of the lost are free again, and no more than these.
    again = crowd(len(lost) + 5, lambda number: ask(CROWD + number))
    assert len(again.accepted) == len(lost) and len(again.refusals) == 5
    until(lambda: not _active(operator), "all operations ended", 120)
    assert len(_names(operator)) == LIMIT and _in_engine(prefix) == sorted(_names(operator))


def _running(who: Caller) -> bool:
    return bool(who.ok("GET", "/operations?state=running")["total"])


@pytest.fixture
def few(operator: Caller, team: World) -> Caller:
    """The same, who may have five."""
    team.admin.ok("PUT", f"/projects/{operator.project}/limits", {"max_instances": FEW})
    return operator


def _mixed(who: Caller, prefix: str, source: str) -> Callable[[int], requests.Response]:
    """By turns a create, the same create once more under its key, a clone, and a resize."""
    create = creates(who, prefix)

    def ask(number: int) -> requests.Response:
        if number % 4 == 2:
            body = {"name": f"{prefix}-{number}", "auto_start": False}
            return who.call("POST", f"/compute/instances/{source}/clone", body)
        if number % 4 == 3:
            resources = {"memory": {"limit": (32 + number) * 1024**2}}
            return who.call("PUT", f"/compute/instances/{source}/resources", resources)
        # A retry has the number, and so the name, of the one before it.
        first = number - number % 2
        return create(first, {"Idempotency-Key": f"{prefix}-{first}"})

    return ask


@fault(
    "F41",
    f"{MIXED} creates, clones, resizes and retries at one moment in a project that may have {FEW}",
    sees=f"{FEW} instances; who came too late is told the limit, what is used and what was asked",
    keeps=f"never more than {FEW} on the engine",
)
def test_a_small_limit_holds_at_every_moment(few: Caller, measured: Measured) -> None:
    prefix = f"libgo-t-{uuid.uuid4().hex[:6]}"
    source = few.container(f"{prefix}-source", network_mode="none").json()["instance"]["name"]
    most, over = [1], threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            most.append(max(len(_in_engine(prefix)), len(_names(few))))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        began = time.monotonic()
        found = crowd(MIXED, _mixed(few, prefix, source))
        measured("answered within", time.monotonic() - began)
        until(lambda: not _active(few), "all operations ended", 120)
    finally:
        over.set()
        looking.join()
    limited = [error for error in found.refusals if error["code"] == "RESOURCE_LIMIT_EXCEEDED"]
    assert all(error["details"]["maximum"] == FEW for error in limited) and limited
    assert {error["code"] for error in found.refusals} <= {"RESOURCE_LIMIT_EXCEEDED", "INSTANCE_BUSY"}
    assert max(most) == FEW and len(_names(few)) == FEW, most
    assert _in_engine(prefix) == sorted(_names(few))
    few.ok("DELETE", f"/compute/instances/{source}?force=true&wait=60")
    lost = few.call("POST", "/compute/instances?wait=60", {**_BAD, "name": source, "project": few.project})
    details = lost.json()["error"]["details"]
    assert few.ok("GET", f"/operations/{details['operation']}")["state"] == "failed", lost.text
    again = few.container(source, network_mode="none")
    assert again.status_code == 201, f"what failed gave its place back: {again.text}"
