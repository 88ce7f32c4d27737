"""A hundred who create at once against a limit of twenty, also while workers are killed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from docker import DockerClient

from tests.attacks.catalogue import attack
from tests.crowd import creates, crowd
from tests.live import LiveConsole, until
from tests.people import Caller, World, people_make

LIMIT, CROWD = 20, 100
# A lost worker is noticed when its lease has run out, and the sweeper has come by.
_SETTLED_WITHIN_S = 90.0


@pytest.fixture(scope="module")
def console(engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveConsole]:
    """Of these tests alone: they kill its workers."""
    live = LiveConsole(tmp_path_factory.mktemp("limits"))
    try:
        yield live.start()
    finally:
        live.stop()


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
