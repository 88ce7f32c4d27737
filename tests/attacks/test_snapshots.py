"""A snapshot of a machine keeps its definition: what it would bring back is judged by what is allowed now."""

from __future__ import annotations

from typing import Any

import libvirt
import pytest
import requests

from tests.attacks.catalogue import attack
from tests.people import Caller, World


@pytest.fixture
def machine(world: World) -> dict[str, Any]:
    """Of the project A, off."""
    made = world.a.machine(world.name("machine"), auto_start=False)
    assert made.status_code == 201, made.text
    return dict(made.json()["instance"])


def _snapshot(who: Caller, machine: dict[str, Any], name: str) -> None:
    who.ok("POST", f"/compute/instances/{machine['id']}/snapshots?wait=60", {"name": name})


def _restore(who: Caller, machine: dict[str, Any], name: str) -> requests.Response:
    return who.call("POST", f"/compute/instances/{machine['id']}/snapshots/{name}/restore?wait=60")


def _definition(machine: dict[str, Any]) -> str:
    """As libvirt has it, asked beside LibGo."""
    conn = libvirt.open("qemu:///system")
    try:
        return str(conn.lookupByUUIDString(machine["id"]).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    finally:
        conn.close()


def _denials(world: World) -> list[tuple[str, str]]:
    """What the audit says of restores that A was denied: result and code."""
    rows = world.admin.ok("GET", f"/audit?user={world.a.username}&page_size=20")["items"]
    return [(row["result"], row["code"]) for row in rows if row["target"].endswith("/snapshots/s1/restore")]


def _nic_on(world: World, machine: dict[str, Any], source: str) -> str:
    """Its MAC address."""
    shown = world.admin.ok("GET", f"/compute/instances/{machine['id']}")
    return next(nic["mac_address"] for nic in shown["config"]["devices"]["nics"] if nic["source"] == source)


def _iso(who: Caller, name: str) -> None:
    """An image of the project of ``who``."""
    data = bytes(32769) + b"CD001" + who.username.encode() + bytes(1024**2)
    answer = requests.post(
        f"{who.live.url}/api/v1/kvm/images?name={name}&project={who.project}&wait=60",
        data=data,
        headers={"Authorization": f"Bearer {who.token}", "Content-Type": "application/octet-stream"},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text


@attack(
    "S29 S31",
    "by the snapshot of a machine: an ISO that was deleted and whose name is another project's by now",
    refused="404; the machine is as it was",
    audit="nothing: no right was asked for",
)
def test_a_snapshot_brings_no_foreign_medium_back(world: World, machine: dict[str, Any]) -> None:
    iso, path = f"{world.name('kvm_image')}.iso", f"/kvm/vms/{machine['id']}/cdrom"
    _iso(world.a, iso)
    world.a.ok("POST", f"{path}?wait=60", {"image": iso})
    _snapshot(world.a, machine, "s1")
    world.a.ok("POST", f"{path}?wait=60", {"image": ""})
    assert world.a.call("DELETE", f"/kvm/images/{iso}?wait=60").status_code == 200
    _iso(world.b, iso)
    try:
        answer = _restore(world.a, machine, "s1")
        assert answer.status_code == 404, answer.text
        assert iso not in _definition(machine)
        assert _denials(world) == [], "what is not there is no denial"
    finally:
        _restore(world.admin, machine, "s1")
        world.admin.call("DELETE", f"/compute/instances/{machine['id']}?force=true&wait=60")
        world.admin.call("DELETE", f"/kvm/images/{iso}?wait=60")


@attack(
    "S39 S45",
    "by the snapshot of a machine: a bridge of the host that an administrator lent it",
    refused="403 naming the rule; the machine is as it was; an administrator may",
    audit="a row with the result refused and POLICY_DENIED",
)
def test_a_snapshot_brings_no_bridge_of_the_host_back(world: World, machine: dict[str, Any]) -> None:
    path = f"/kvm/vms/{machine['id']}/nics"
    world.admin.ok("POST", f"{path}?wait=60", {"bridge": "virbr0"})
    _snapshot(world.a, machine, "s1")
    world.admin.ok("DELETE", f"{path}/{_nic_on(world, machine, 'virbr0')}?wait=60")
    answer = _restore(world.a, machine, "s1")
    assert answer.status_code == 403, answer.text
    assert "virbr0" not in _definition(machine)
    assert _denials(world) == [("refused", "POLICY_DENIED")]
    assert _restore(world.admin, machine, "s1").status_code == 200
    assert "virbr0" in _definition(machine)


@attack(
    "S84",
    "a machine that was made smaller, to make room for others, back to the size of its snapshot",
    refused="403 RESOURCE_LIMIT_EXCEEDED; the machine is as it was",
    audit="no restore that went well",
)
def test_a_snapshot_brings_no_more_memory_back_than_there_is_room_for(
    world: World, machine: dict[str, Any]
) -> None:
    mib = 1024**2
    _snapshot(world.a, machine, "s1")
    smaller = {"resources": {"memory": {"limit": 128 * mib}}}
    world.a.ok("PUT", f"/compute/instances/{machine['id']}?wait=60", smaller)
    world.admin.ok("PUT", f"/projects/{world.a.project}/limits", {"max_memory_bytes": 128 * mib})
    try:
        error = world.a.refused(
            403,
            "RESOURCE_LIMIT_EXCEEDED",
            "POST",
            f"/compute/instances/{machine['id']}/snapshots/s1/restore?wait=60",
        )
        assert error["details"]["limit"] == "max_memory_bytes"
        shown = world.a.ok("GET", f"/compute/instances/{machine['id']}")
        assert shown["resources"]["memory"]["limit"] == 128 * mib
        rows = world.admin.ok("GET", f"/audit?user={world.a.username}&page_size=20")["items"]
        assert not [row for row in rows if row["action"] == "instance.restore"]
    finally:
        world.admin.ok("PUT", f"/projects/{world.a.project}/limits", {"max_memory_bytes": None})
