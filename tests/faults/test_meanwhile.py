"""What others do while something is made: an image is deleted, a node drained, many are cancelled."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.failpoints import Rule
from tests.faults.cases import POOL, things_of
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.faults.shaky import Shaky
from tests.live import ENDED, until

_MANY, _BAD = 200, 20


@pytest.fixture
def image(shaky: Shaky) -> Iterator[str]:
    """An image of this test's own, gone after the machines that stand on it."""
    name = f"libgo-t-{os.urandom(4).hex()}"
    body = {"name": name, "volume": "default/libgo-demo"}
    demo = "/storage/pools/default/volumes/libgo-demo"
    until(lambda: shaky.live.api("GET", demo).status_code == 200, "the pool was looked at", 30)
    answer = shaky.live.api("POST", "/kvm/images?wait=60", body)
    assert answer.status_code == 201, answer.text
    yield name
    shaky.gone()
    until(lambda: _image_gone(shaky, name), "the image is not in use any more, and goes", 60)


def _image_gone(shaky: Shaky, name: str) -> bool:
    """Who uses it is known of the last look at the pool."""
    shaky.live.api("DELETE", f"/kvm/images/{name}?wait=60")
    return not (POOL / name).exists()


@fault(
    "F47",
    "the image of a VM is deleted while the VM is made, before and after its disk stands on it",
    sees="before: the image goes, and the create fails and names it; after: it is in use, and the VM comes",
    keeps="no disk without the image that it stands on; nothing half-made",
)
@pytest.mark.parametrize("at", ["Looking at the host", "Defining the domain"])
def test_an_image_deleted_under_a_create(shaky: Shaky, image: str, at: str, measured: Measured) -> None:
    (name,) = shaky.names(1)
    shaky.points.set(Rule("instance.create", name, at))
    body = {
        "name": name,
        "backend": "kvm",
        "config": {"image": image, "network": "none"},
        "resources": {"memory": {"limit": 64 * 1024**2}},
        "auto_start": False,
    }
    asked = shaky.live.api("POST", "/compute/instances", body)
    assert asked.status_code == 202, asked.text
    operation = asked.json()["operation"]["id"]
    until(lambda: name in shaky.points.struck(), "it is being made", 30)
    deleted = shaky.live.api("DELETE", f"/kvm/images/{image}?wait=30")
    shaky.points.set()
    measured("ended after", until(lambda: shaky.outcome(operation)["state"] in ENDED, "it has ended", 60))
    told = shaky.outcome(operation)
    if at == "Looking at the host":
        assert deleted.status_code == 200, deleted.text
        assert told["state"] == "failed" and told["error"]["code"] == "IMAGE_NOT_FOUND", told
        assert image in told["error"]["message"] and not things_of(shaky.live, name)
    else:
        assert deleted.status_code == 409 and deleted.json()["error"]["code"] == "IMAGE_IN_USE", deleted.text
        assert told["state"] == "succeeded", told
        assert (POOL / image).exists()
        assert shaky.live.api("PUT", f"/compute/instances/{name}/start?wait=60").status_code == 200


@fault(
    "F47",
    "a node is drained while a container is made on it",
    sees="what was taken is finished; what comes after is refused, and says that the node is draining",
    keeps="the container",
)
def test_a_node_drained_under_a_create(shaky: Shaky, measured: Measured) -> None:
    name, late = shaky.names(2)
    shaky.points.set(Rule("instance.create", name, "begin"))
    operation = shaky.ask(name)
    until(lambda: name in shaky.points.struck(), "it is being made", 30)
    node = f"/nodes/{shaky.live.get(f'/operations/{operation}')['node']}"
    assert shaky.live.api("PUT", f"{node}/drain").json()["status"] == "draining"
    try:
        refused = shaky.create(late)
        assert refused.status_code == 409 and "draining" in refused.json()["error"]["message"], refused.text
        shaky.points.set()
        measured("made after", shaky.succeeded([operation], 30))
        assert {thing.split(" ")[1] for thing in things_of(shaky.live, name)} == {name}
        assert not things_of(shaky.live, late)
    finally:
        assert shaky.live.api("PUT", f"{node}/resume").json()["status"] == "online"


@pytest.fixture
def many(shaky: Shaky) -> list[dict[str, Any]]:
    """So many containers, of which the last run."""
    names = shaky.names(_MANY)
    for name in names:
        words = ["docker", "create", "--network", "none", "--name", name, "--label", "libgo.test=live"]
        subprocess.run([*words, "libgo/demo:latest", "sleep", "9999"], check=True, capture_output=True)
    subprocess.run(["docker", "start", *names[-_BAD:]], check=True, capture_output=True)

    def shown() -> list[dict[str, Any]]:
        rows = shaky.live.get(f"/compute/instances?q={shaky.word}&page_size=500&sort=name")["instances"]
        return [row for row in rows if row["name"] in names]

    until(lambda: [row["state"] for row in shown()].count("running") == _BAD, "all are seen", 30)
    return shown()


@fault(
    "F49",
    "200 containers are deleted at once, 20 of which run; and 200 are started, which is cancelled underway",
    sees="one operation: 180 done, and of each of 20 why not; cancelled, what was not begun stays as it was",
    keeps="those that could not be deleted; the count of done and not done is that of the engine",
)
def test_many_of_which_some_fail_and_many_that_are_cancelled(
    shaky: Shaky, many: list[dict[str, Any]], measured: Measured
) -> None:
    assert len(many) == _MANY
    cancelled = _cancelled_underway(shaky, many)
    running = _running(shaky)
    assert len(running) == _BAD + cancelled["result"]["succeeded"] - cancelled["already"], cancelled["result"]
    subprocess.run(["docker", "kill", *sorted(running)[_BAD:]], check=True, capture_output=True)
    until(lambda: _seen_running(shaky) == _BAD, "the mirror has seen it", 20)
    begun = time.monotonic()
    body = {"action": "delete", "ids": [row["id"] for row in many], "options": {}}
    told = _ended(shaky, shaky.live.api("POST", "/compute/instances/bulk", body).json()["operation"]["id"])
    measured("deleted after", time.monotonic() - begun)
    assert told["state"] == "failed", told["result"]
    assert (told["result"]["succeeded"], told["result"]["failed"]) == (_MANY - _BAD, _BAD), told["result"]
    bad = [child for child in told["children"] if child["state"] == "failed"]
    assert {child["error"]["code"] for child in bad} == {"INVALID_STATE"}
    left = {thing.split(" ")[1] for thing in things_of(shaky.live, shaky.word)}
    assert left == {child["instance_name"] for child in bad} == _running(shaky)


def _cancelled_underway(shaky: Shaky, many: list[dict[str, Any]]) -> dict[str, Any]:
    """The operation that was to start them all, with how many ran ``already``."""
    body = {"action": "start", "ids": [row["id"] for row in many]}
    operation = shaky.live.api("POST", "/compute/instances/bulk", body).json()["operation"]["id"]

    def some() -> bool:
        states = Counter(child["state"] for child in shaky.outcome(operation)["children"])
        return states["succeeded"] > _BAD

    until(some, "some are done", 60)
    assert shaky.live.api("DELETE", f"/operations/{operation}").status_code == 200
    told = _ended(shaky, operation)
    assert told["state"] == "cancelled" and told["result"]["cancelled"] > 0, told["result"]
    assert told["result"]["succeeded"] + told["result"]["cancelled"] == _MANY, told["result"]
    already = [child for child in told["children"] if child["step"] == "It was so already"]
    return {**told, "already": len(already)}


def _ended(shaky: Shaky, operation: str) -> dict[str, Any]:
    until(lambda: shaky.outcome(operation)["state"] in ENDED, "it has ended", 180)
    return shaky.outcome(operation)


def _running(shaky: Shaky) -> set[str]:
    words = ["docker", "ps", "--filter", f"name={shaky.word}", "--format", "{{.Names}}"]
    return set(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split())


def _seen_running(shaky: Shaky) -> int:
    return int(shaky.live.get(f"/compute/instances?q={shaky.word}&state=running&page_size=1")["total"])
