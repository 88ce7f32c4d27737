"""Work on many, and work that comes again, over the real engines: workers and clocks killed and doubled."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.cases import MACHINE, QUIET
from tests.live import ENDED, LiveConsole, until

BULK = "/compute/instances/bulk"


@pytest.fixture
def made(live: LiveConsole) -> Iterator[list[dict[str, Any]]]:
    """What a test appends is deleted when it ends."""
    rows: list[dict[str, Any]] = []
    yield rows
    ids = [row["id"] for row in rows]
    live.api("POST", f"{BULK}?wait=60", {"action": "delete", "ids": ids, "options": {"force": True}})


def _containers(live: LiveConsole, count: int) -> list[dict[str, Any]]:
    word = uuid.uuid4().hex[:6]
    return [live.create(f"libgo-t-{word}-{n}", "docker", config=QUIET) for n in range(count)]


def _bulk(live: LiveConsole, rows: list[dict[str, Any]], action: str, **options: Any) -> dict[str, Any]:
    body = {"action": action, "ids": [row["id"] for row in rows], "options": options}
    answer = live.api("POST", f"{BULK}?wait=60", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["operation"])


def test_containers_and_a_machine_are_stopped_and_started_by_one_operation(
    live: LiveConsole, made: list[dict[str, Any]]
) -> None:
    made += [*_containers(live, 3), live.create(f"libgo-t-{uuid.uuid4().hex[:6]}", "kvm", config=MACHINE)]
    for action, options, state in (("stop", {"force": True}, "stopped"), ("start", {}, "running")):
        operation = _bulk(live, made, action, **options)
        assert (operation["state"], operation["result"]["succeeded"]) == ("succeeded", 4), operation
        assert {live.get(f"/compute/instances/{row['id']}")["state"] for row in made} == {state}


def test_a_worker_killed_in_the_middle_of_many_loses_none_of_them(
    live: LiveConsole, made: list[dict[str, Any]]
) -> None:
    made += _containers(live, 10)
    body = {"action": "restart", "ids": [row["id"] for row in made], "options": {"timeout": 2}}
    operation = live.api("POST", BULK, body).json()["operation"]

    def shown() -> dict[str, Any]:
        return dict(live.get(f"/operations/{operation['id']}"))

    until(lambda: any(child["state"] == "running" for child in shown()["children"]), "some run", 20)
    live.kill("worker")
    until(lambda: shown()["state"] in ENDED, "it is over", 90)
    ended = shown()
    assert ended["result"]["total"] == 10
    assert ended["result"]["succeeded"] + ended["result"]["interrupted"] == 10, ended
    assert ended["result"]["succeeded"] >= 6, "only what was in the hands of the lost worker is unsure"
    assert all(child["error"] for child in ended["children"] if child["state"] == "interrupted")
    again = _bulk(live, made, "start")
    assert again["state"] == "succeeded", "nothing is left busy"


def test_of_all_snapshots_only_its_own_old_ones_go(live: LiveConsole, made: list[dict[str, Any]]) -> None:
    made += _containers(live, 1)
    instance = made[0]["id"]
    path = f"/compute/instances/{instance}/snapshots"
    assert live.api("POST", f"{path}?wait=60", {"name": "auto-by-hand"}).status_code in (200, 201)
    body = {
        "name": f"t-{uuid.uuid4().hex[:6]}",
        "cron": "0 0 1 1 *",
        "action": "snapshot",
        "target": {"ids": [instance]},
        "keep": {"last": 2},
        "overlap": "run",
    }
    schedule = live.api("POST", "/compute/schedules", body).json()
    address = f"/compute/schedules/{schedule['id']}"

    def runs() -> list[dict[str, Any]]:
        return list(live.get(f"{address}/runs")["items"])

    try:
        for number in range(1, 4):
            assert live.api("POST", f"{address}/run").status_code == 200
            until(lambda n=number: len(_good(runs())) >= n, "a snapshot", 30)  # type: ignore[misc]
            time.sleep(1)
        until(lambda: len(live.get(path)["items"]) == 3, "two of its own, and the other", 90)
        names = [item["name"] for item in live.get(path)["items"]]
        assert "auto-by-hand" in names and sum(name.startswith("auto-t-") for name in names) == 2
    finally:
        live.api("DELETE", address)


def _good(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [run for run in runs if run["state"] == "succeeded"]
