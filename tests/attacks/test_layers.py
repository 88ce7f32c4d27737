"""The disk that a container fills through its own layer: not every engine bounds it, LibGo tells of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.catalogue import attack
from tests.live import LiveConsole, until
from tests.people import World, people_make

_MIB = 1024**2
_WRITTEN_MIB = 48


@pytest.fixture(scope="module")
def people(engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """On a console that looks at the layers every other second."""
    console = LiveConsole(tmp_path_factory.mktemp("layers"), LIBGO_DOCKER_LAYER_SIZES_EVERY="2s")
    try:
        yield people_make(console.start())
    finally:
        console.stop()


@attack(
    "S46",
    "a container that fills the disk of its host through its own layer",
    refused="it is not stopped; what it wrote shows in its usage and in that of its project, and the "
    "alert of whoever asked for one fires and names it",
    audit="the row of the rule; none of the container, which did nothing through LibGo",
)
def test_what_a_container_writes_into_its_layer_is_told(world: World) -> None:
    rule = {
        "name": "full-layers",
        "kind": "instance_usage",
        "metric": "storage_used_bytes",
        "threshold": 32 * _MIB,
        "project": world.a.project,
    }
    world.a.ok("POST", "/alerts/rules", rule)
    name = world.name("container")
    script = f"dd if=/dev/urandom of=/big bs=1048576 count={_WRITTEN_MIB}; exec sleep 3600"
    made = world.a.container(name, network_mode="none", command=["/bin/sh", "-c", script])
    assert made.status_code == 201, made.text
    path = f"/compute/instances/{made.json()['instance']['id']}"

    def told() -> bool:
        series = world.a.ok("GET", f"{path}/usage/history")["series"].get("storage_used_bytes")
        values = [value for value in (series or {"avg": []})["avg"] if value is not None]
        return bool(values) and values[-1] >= _WRITTEN_MIB * _MIB

    until(told, "its usage says what it wrote", 60)
    until(lambda: _messages(world, name), "the alert fires", 40)
    assert "above 32 MiB" in _messages(world, name)[0]
    assert world.b.ok("GET", "/alerts?state=firing")["items"] == [], "nobody else hears of it"
    rows = world.admin.ok("GET", f"/audit?user={world.a.username}&page_size=20")["items"]
    assert [row["action"] for row in rows if rule["name"] in row["target"]] == ["alert.create"]
    assert {row["action"] for row in rows if row["target"] == name} == {"instance.create"}


def _messages(world: World, name: str) -> list[str]:
    return [
        row["message"] for row in world.a.ok("GET", "/alerts?state=firing")["items"] if name in row["message"]
    ]
