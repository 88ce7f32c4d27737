"""Containers and machines that were made by the engines' own clients are adopted, by rule and by filter."""

from __future__ import annotations

import uuid
from typing import Any

import docker
import pytest

from tests.live import LiveConsole, until
from tests.outside import Outside
from tests.people import World


def _of(live: LiveConsole, name: str) -> tuple[str, bool]:
    row = live.shown(name)
    assert row is not None, f"{name} did not appear"
    return row["project"]["name"], row["managed"]


def _asked(live: LiveConsole, path: str, body: dict[str, Any], status: int = 200) -> Any:
    answer = live.api("POST", path, body)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture
def shop(live: LiveConsole, world: World) -> str:
    name = f"shop-{uuid.uuid4().hex[:6]}"
    _asked(live, "/projects", {"name": name}, 201)
    return name


def test_a_rule_adopts_what_appears_on_both_engines(live: LiveConsole, outside: Outside, shop: str) -> None:
    old = outside.container("old")
    until(lambda: live.shown(old), "the container that was there", 15)
    rule = _asked(
        live,
        "/compute/adoption-rules",
        {"name": shop, "project": shop, "filter": {"name": f"{outside.word}-*"}},
        201,
    )
    try:
        new, machine = outside.container("new"), outside.machine("vm")
        for name in (new, machine):
            until(lambda name=name: _of(live, name) == (shop, True), f"{name} to be adopted", 15)
        assert _of(live, old) == ("default", False), "what was there waits until it is asked for"
        done = _asked(live, f"/compute/adoption-rules/{rule['id']}/apply", {})
        assert done["refused"] == [] and len(done["adopted"]) == 1
        assert _of(live, old) == (shop, True)
        told = live.get(f"/audit?action=instance.adopt&target={new}")["items"]
        assert told[0]["details"]["rule"] == shop
    finally:
        live.api("DELETE", f"/compute/adoption-rules/{rule['id']}")


def test_a_filter_adopts_a_whole_stack_and_leaves_what_runs_alone(
    live: LiveConsole, outside: Outside, shop: str
) -> None:
    label = {"com.docker.compose.project": outside.word}
    names = [outside.container(word, **label) for word in ("db", "web")]
    client = docker.from_env(timeout=30)
    began = [client.containers.get(name).attrs["State"]["StartedAt"] for name in names]
    for name in names:
        until(lambda name=name: live.shown(name), f"{name} to appear", 15)
    body = {"project": shop, "filter": {"labels": label}}
    preview = _asked(live, "/compute/instances/adopt/preview", body)
    assert [item["name"] for item in preview["items"]] == sorted(names)
    assert {item["stack"] for item in preview["items"]} == {outside.word}
    assert len(_asked(live, "/compute/instances/adopt", body)["adopted"]) == 2
    assert [_of(live, name) for name in names] == [(shop, True)] * 2
    third = outside.container("cache", **label)
    until(lambda: live.shown(third), f"{third} to appear", 15)
    row = live.shown(third)
    assert row is not None
    refused = live.api("POST", f"/compute/instances/{row['id']}/adopt", {"project": "default"})
    assert (refused.status_code, refused.json()["error"]["details"]["state"]) == (409, "stack")
    assert began == [client.containers.get(name).attrs["State"]["StartedAt"] for name in names]
    client.close()
