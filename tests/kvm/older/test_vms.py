"""``/vms`` for clients from before Docker: their fields, their words, answers when the work is done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live import until
from tests.people import MACHINE_DEMO, World

GIB, MIB = 1024**3, 1024**2


def wanted(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": "made by an older client <&>",
        "template": MACHINE_DEMO,
        "cpu": {"count": 1},
        "memory": {"sizeBytes": 192 * MIB},
        "disk": {"sizeBytes": GIB, "format": "qcow2", "bus": "virtio"},
        "network": {"type": "network", "source": "default", "model": "virtio"},
        **more,
    }


def test_the_older_life_of_a_machine(world: World) -> None:
    name = world.name("machine")
    answer = world.admin.call("POST", "/vms", wanted(name))
    assert answer.status_code == 201, answer.text
    assert list(answer.json()) == ["vm"]
    vm = answer.json()["vm"]
    assert set(vm) == {
        "name", "uuid", "description", "status", "cpu", "memory", "disks", "networks", "createdAt",
    }  # fmt: skip
    # The mirror may have looked at it between its start and its first instruction.
    assert vm["name"] == name and vm["status"] in ("running", "paused")
    until(lambda: world.admin.ok("GET", f"/vms/{name}")["vm"]["status"] == "running", "it runs", 20)
    assert vm["cpu"]["count"] == 1 and vm["memory"] == {"sizeBytes": 192 * MIB, "sizeMB": 192}
    (disk,) = vm["disks"]
    assert disk["format"] == "qcow2" and disk["bus"] == "virtio" and disk["bootable"] is True
    assert "/" not in disk["path"], "no path of the host"
    (nic,) = vm["networks"]
    assert {"type", "source", "model", "macAddress"} <= set(nic) and nic["source"] == "default"
    assert vm["createdAt"].endswith("Z")

    one = world.admin.ok("GET", f"/vms/{name}")
    assert list(one) == ["vm"] and one["vm"]["uuid"] == vm["uuid"]
    unified = world.admin.ok("GET", f"/compute/instances/{name}")
    assert unified["uuid"] == vm["uuid"], "it is the same machine by every door"
    for query, there in (("status=running", True), ("status=stopped", False), ("status=shutdown", False)):
        page = world.admin.ok("GET", f"/vms?page=1&pageSize=100&{query}")
        assert list(page) == ["vms", "count", "page", "pageSize"]
        assert (name in [row["name"] for row in page["vms"]]) is there

    assert world.admin.ok("PUT", f"/vms/{name}/start") == _said("started"), "it runs already"
    assert world.admin.ok("PUT", f"/vms/{name}/stop?force=true") == _said("stopped")
    assert world.admin.ok("GET", f"/vms/{name}")["vm"]["status"] == "stopped"
    assert world.admin.ok("PUT", f"/vms/{name}/start") == _said("started")
    # Running or not: this API never asked.
    assert world.admin.ok("DELETE", f"/vms/{name}") == _said("deleted")
    world.admin.refused(404, "INSTANCE_NOT_FOUND", "GET", f"/vms/{name}")


def _said(done: str) -> dict[str, Any]:
    return {"success": True, "message": f"VM {done} successfully"}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"cpu": {"count": 0}}, "cpu.count"),
        ({"cpu": {"count": 4, "socket": 1, "cores": 3}}, "cpu.count"),
        ({"memory": {"sizeBytes": 1}}, "memory.sizeBytes"),
        ({"disk": {"sizeBytes": 1, "format": "qcow2"}}, "disk.sizeBytes"),
        ({"disk": {"sizeBytes": GIB, "format": "vmdk"}}, "disk.format"),
        ({"disk": {"sizeBytes": GIB, "format": "raw", "colour": "red"}}, "disk.colour"),
        ({"network": {"type": "carrier", "source": "x"}}, "network.type"),
        ({"network": {"type": "network", "source": "a'><b/>"}}, "network"),
        ({"template": "a b<>"}, "disk.sourceImage"),
        ({"name": "<vm>"}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_named_in_the_older_words(world: World, more: dict[str, Any], field: str) -> None:
    name = world.name("machine")
    refused = world.admin.refused(400, "INVALID_INPUT", "POST", "/vms", {**wanted(name), **more})
    assert field in refused["details"]["fields"], refused
    world.admin.refused(404, "INSTANCE_NOT_FOUND", "GET", f"/vms/{name}")


def test_absent_machines_wrong_pages_and_rights(world: World) -> None:
    name = world.name("machine")
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("PUT", "/start"),
        ("PUT", "/stop"),
        ("PUT", "/restart"),
    ):
        world.admin.refused(404, "INSTANCE_NOT_FOUND", method, f"/vms/{name}{path}")
    for query in ("page=0", "pageSize=101", "pageSize=x", "status=sleeping", "colour=red"):
        world.admin.refused(400, "INVALID_INPUT", "GET", f"/vms?{query}")
    world.viewer.refused(403, "PERMISSION_DENIED", "POST", "/vms", wanted(name))
    host = {"network": {"type": "bridge", "source": "docker0"}}
    world.a.refused(403, "POLICY_DENIED", "POST", "/vms", wanted(name, **host))
    assert world.a.machine(name, auto_start=False).status_code == 201
    world.b.refused(404, "INSTANCE_NOT_FOUND", "GET", f"/vms/{name}")
    world.b.refused(404, "INSTANCE_NOT_FOUND", "DELETE", f"/vms/{name}")
    world.viewer.refused(403, "PERMISSION_DENIED", "PUT", f"/vms/{name}/start")
    world.a.refused(400, "INVALID_INPUT", "PUT", f"/vms/{name}/stop?timeout=301")
    assert world.a.ok("PUT", f"/vms/{name}/stop") == _said("stopped"), "it is off already"
    world.admin.refused(409, "NAME_CONFLICT", "POST", "/vms", wanted(name))
