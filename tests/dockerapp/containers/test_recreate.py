"""Another container in the place of one: what stays, what changes, and the way back."""

from __future__ import annotations

import uuid
from typing import Any

import docker
import pytest

from tests.dockerapp.containers.test_api import BASE, DEMO, _refused, _result, _shell, make, people
from tests.live import LiveConsole, until

__all__ = ["make", "people"]
# A shell as the first process takes no notice of a request to end: each stop would last ten seconds.
_SLEEP = {"command": _shell("sleep 600"), "stop_signal": "SIGKILL"}


@pytest.fixture
def engine() -> docker.APIClient:
    return docker.APIClient(version="auto")


def _leftovers(engine: docker.APIClient, name: str) -> list[str]:
    rows = engine.containers(all=True, filters={"name": [name]})
    return sorted(row["Names"][0].lstrip("/") for row in rows)


def test_name_volumes_networks_and_labels_stay_and_the_rest_changes(
    live: LiveConsole,
    make: Any,
    engine: docker.APIClient,  # noqa: F811
) -> None:
    mark = uuid.uuid4().hex[:8]
    networks = [f"libgo-t-{mark}-{n}" for n in range(2)]
    pools = [docker.types.IPAMPool(subnet=f"10.{200 + n}.{int(mark[:2], 16)}.0/24") for n in range(2)]
    for name, pool in zip(networks, pools, strict=True):
        config = docker.types.IPAMConfig(pool_configs=[pool])
        engine.create_network(name, ipam=config, labels={"libgo.test": "live"})
    address = f"10.200.{int(mark[:2], 16)}.77"
    try:
        made = make(
            **_SLEEP,
            network_mode=None,
            networks=[{"network": networks[0], "ip_address": address, "aliases": ["db"]}, networks[1]],
            volumes=["/data"],
            env={"A": "1"},
            labels={"libgo.test": "live", "tier": "front"},
        )
        one = f"{BASE}/{made['id']}"
        live.api("POST", f"{one}/exec", {"command": _shell("echo kept > /data/file")})
        before = live.get(one)
        assert {point["network"]: point["fixed_ip_address"] for point in before["endpoints"]} == {
            networks[0]: address,
            networks[1]: "",
        }
        changes = {"config": {"env": {"A": "2"}}, "resources": {"memory": {"limit": 64 * 1024**2}}}
        done = _result(live.api("POST", f"{one}/recreate?wait=60", changes))
        after = live.get(one)
        assert after["id"] == made["id"] and after["name"] == made["name"] and after["state"] == "running"
        assert after["engine_id"] != before["engine_id"] == done["operation"]["result"]["previous_engine_id"]
        assert after["config"]["env"]["A"] == "2" and after["labels"]["tier"] == "front"
        assert after["config"]["command"] == _shell("sleep 600")
        assert after["resources"]["memory"]["limit"] == 64 * 1024**2
        assert after["config"]["networks"] == before["config"]["networks"]
        assert after["mounts"][0]["name"] == before["mounts"][0]["name"]
        read = _result(live.api("POST", f"{one}/exec", {"command": ["cat", "/data/file"]}))
        assert read["stdout"] == "kept\n"
        assert _leftovers(engine, made["name"]) == [made["name"]]
        volume = after["mounts"][0]["name"]
        assert live.api("DELETE", f"{one}?force=true&volumes=true&wait=60").status_code == 200
        assert volume not in [row["Name"] for row in engine.volumes()["Volumes"] or []]
    finally:
        for row in engine.containers(all=True, filters={"network": networks}):
            engine.remove_container(row["Id"], force=True)
        for name in networks:
            engine.remove_network(name)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"config": {"command": ["/bin/sh", "-c", "exit 4"]}}, "BACKEND_ERROR"),
        ({"config": {"command": ["/nope"]}}, "INVALID_INPUT"),
        (
            {"health_check": {"test": "exit 1", "interval": 1, "retries": 1}, "health_timeout": 6},
            "BACKEND_ERROR",
        ),
    ],
    ids=["ends at once", "does not start", "unhealthy"],
)
def test_the_old_one_comes_back_when_the_new_one_does_not_work(
    live: LiveConsole,
    make: Any,
    engine: docker.APIClient,
    changes: dict[str, Any],
    code: str,  # noqa: F811
) -> None:
    made = make(**_SLEEP, volumes=["/data"])
    one = f"{BASE}/{made['id']}"
    answer = live.api("POST", f"{one}/recreate?wait=60", changes)
    assert answer.json()["error"]["code"] == code, answer.text
    after = live.get(one)
    assert (after["engine_id"], after["name"], after["state"]) == (
        made["engine_id"],
        made["name"],
        "running",
    )
    assert _leftovers(engine, made["name"]) == [made["name"]]
    assert live.get(f"/compute/instances/{made['id']}")["engine_id"] == made["engine_id"]


def test_a_stopped_one_stays_stopped_and_a_bad_change_changes_nothing(live: LiveConsole, make: Any) -> None:  # noqa: F811
    made = make(auto_start=False)
    one = f"{BASE}/{made['id']}"
    for bad in (
        {"config": {"surprise": 1}},
        {"env": {"A": 1}},
        {"image": ""},
        {"health_timeout": -1},
        {"x": 1},
    ):
        _refused(live.api("POST", f"{one}/recreate", bad), 400, "INVALID_INPUT")
    answer = live.api("POST", f"{one}/recreate?wait=60", {"image": "libgo-t-absent:1", "pull": "never"})
    _refused(answer, 404, "IMAGE_NOT_FOUND")
    shown = _result(live.api("PUT", f"{one}/recreate?wait=60", {"hostname": "web"}))["instance"]
    assert (shown["state"], shown["config"]["hostname"]) == ("created", "web")
    assert shown["config"]["image"] == DEMO


def test_another_process_puts_the_old_one_back_when_the_worker_is_lost(
    live: LiveConsole,
    make: Any,  # noqa: F811
    engine: docker.APIClient,
) -> None:
    made = make(**_SLEEP)
    one = f"{BASE}/{made['id']}"
    body = {"health_check": {"test": "exit 1", "interval": 1, "retries": 100}, "health_timeout": 120}
    operation = live.api("POST", f"{one}/recreate", body).json()["operation"]["id"]
    until(lambda: "health" in live.get(f"/operations/{operation}")["step"], "the new one runs", 30)
    assert len(_leftovers(engine, made["name"])) == 2
    assert [row["name"] for row in live.get(f"{BASE}?all=true&q={made['name']}")["items"]] == [made["name"]]
    live.kill("worker")
    until(lambda: live.get(f"/operations/{operation}")["state"] == "interrupted", "it is closed", 60)
    after = live.get(one)
    assert (after["engine_id"], after["name"], after["state"]) == (
        made["engine_id"],
        made["name"],
        "running",
    )
    assert _leftovers(engine, made["name"]) == [made["name"]]
