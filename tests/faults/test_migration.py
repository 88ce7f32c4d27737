"""A VM moves between two nodes of a whole console, and is in one place when a worker dies on the way."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.authority import Authority
from tests.faults.catalogue import fault
from tests.hosts import LibvirtHost
from tests.live import LiveConsole, until
from tests.people import World

_MIB = 1024**2


@pytest.fixture(scope="module")
def far(live: LiveConsole) -> Iterator[LibvirtHost]:
    """A second host, which the console reaches by TLS; its node has the host's name."""
    folder = Path(tempfile.mkdtemp(prefix="libgo-t-"))
    authority = Authority(folder / "ours")
    host = LibvirtHost(folder / "far", f"libgo-t-{uuid.uuid4().hex[:6]}", authority=authority)
    try:
        host.start()
        body = {"name": host.name, "backend": "kvm", "url": host.tls_url, "tls": authority.texts("libgo")}
        made = live.api("POST", "/nodes", body)
        assert made.status_code == 201 and "PRIVATE" not in made.text, made.text
        until(lambda: live.get(f"/nodes/{host.name}")["status"] == "online", "the node is online", 15)
        yield host
    finally:
        live.api("DELETE", f"/nodes/{host.name}")
        host.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def machine(world: World, far: LibvirtHost) -> dict[str, Any]:
    """A running one of project a, on the console's own host."""
    body = {
        "name": world.name("machine"),
        "backend": "kvm",
        "node": "local-kvm",
        "project": world.a.project,
        "config": {"image": "libgo-demo", "network": "none"},
        "resources": {"memory": {"limit": 160 * _MIB}},
        "labels": {"libgo.test": "live"},
    }
    return dict(world.a.ok("POST", "/compute/instances?wait=60", body)["instance"])


def _rows(world: World, name: str) -> list[tuple[str, str, str]]:
    found = world.admin.ok("GET", f"/compute/instances?q={name}")["instances"]
    return [(row["id"], row["node"]["name"], row["state"]) for row in found]


def test_there_and_back(world: World, far: LibvirtHost, machine: dict[str, Any]) -> None:
    path, name, node = f"/compute/instances/{machine['id']}/migrate", machine["name"], {"node": far.name}
    world.b.refused(404, "INSTANCE_NOT_FOUND", "POST", path, node)
    world.viewer.refused(403, "PERMISSION_DENIED", "POST", path, node)
    world.a.refused(404, "NODE_NOT_FOUND", "POST", path, {"node": "nowhere"})
    world.a.refused(400, "INVALID_INPUT", "POST", path, {"node": "local-kvm"})
    world.a.refused(400, "INVALID_INPUT", "POST", path, {"node": "local-docker"})
    world.a.refused(409, "INVALID_STATE", "POST", path, {**node, "live": False})
    looked = world.a.ok("POST", f"/kvm/vms/{machine['id']}/migrate/check", node)
    assert looked["ok"], looked
    done = world.a.ok("POST", f"{path}?wait=60", node)
    assert done["operation"]["result"] == {"node": far.name}
    assert _rows(world, name) == [(machine["id"], far.name, "running")]
    moved = world.a.ok("GET", f"/compute/instances/{machine['id']}")
    assert (
        moved["project"] == machine["project"] and moved["managed"] and moved["labels"] == machine["labels"]
    )
    assert far.domain_names() == [name]
    # Off, it comes back at once, and can be started where it is then.
    world.a.ok("PUT", f"/compute/instances/{machine['id']}/stop?wait=60", {"force": True})
    world.a.ok("POST", f"/kvm/vms/{machine['id']}/migrate?wait=60", {"node": "local-kvm"})
    assert _rows(world, name) == [(machine["id"], "local-kvm", "stopped")] and far.domain_names() == []
    world.a.ok("PUT", f"/compute/instances/{machine['id']}/start?wait=60", {})
    events = world.a.ok("GET", f"/compute/instances/{machine['id']}/events")["items"]
    kinds = [event["type"] for event in events]
    assert kinds.count("instance.migrated") == 2 and "instance.deleted" not in kinds


@fault(
    "F22",
    "the worker is killed (SIGKILL) while a guest moves to another host",
    sees="the operation ends by itself with a reason",
    keeps="the guest is in one place, never in two",
)
def test_a_worker_dies_on_the_way(
    live: LiveConsole, world: World, far: LibvirtHost, machine: dict[str, Any]
) -> None:
    path = f"/compute/instances/{machine['id']}/migrate"
    asked = world.a.call("POST", path, {"node": far.name, "max_bytes_per_s": 2 * _MIB}).json()["operation"]

    def operation() -> dict[str, Any]:
        return world.a.ok("GET", f"/operations/{asked['id']}")

    until(lambda: "Moving its memory" in operation()["step"], "memory flows", 30)
    assert [row[:2] for row in _rows(world, machine["name"])] == [(machine["id"], "local-kvm")]
    live.kill("worker")
    until(lambda: operation()["state"] not in ("queued", "running"), "somebody closes it", 60)
    assert operation()["state"] == "interrupted", operation()
    assert _rows(world, machine["name"]) == [(machine["id"], "local-kvm", "running")]
    assert far.domain_names() == []
    # Nothing stands in the way of trying again.
    world.a.ok("POST", f"{path}?wait=60", {"node": far.name})
    assert _rows(world, machine["name"]) == [(machine["id"], far.name, "running")]
