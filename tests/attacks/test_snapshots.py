"""A snapshot of a machine keeps its definition: what it would bring back is judged by what is allowed now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import libvirt
import pytest
import requests

from tests.attacks.catalogue import attack
from tests.failpoints import Failpoints, Rule
from tests.live import ENDED, LiveConsole, until
from tests.people import Caller, World, people_make


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Failpoints:
    return Failpoints(tmp_path_factory.mktemp("points"))


@pytest.fixture(scope="module")
def people(engines: None, points: Failpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """On a console whose operations can be held on their way."""
    console = LiveConsole(tmp_path_factory.mktemp("held"), **points.environ)
    try:
        yield people_make(console.start())
    finally:
        console.stop()


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


@contextmanager
def _restore_held(
    world: World, points: Failpoints, machine: dict[str, Any], *, at: str = "begin"
) -> Iterator[dict[str, Any]]:
    """A restore of ``s1`` that A may ask for; a worker has it, and goes on when the block ends. What came
    of it is in the dictionary then."""
    points.set(Rule("instance.restore", machine["name"], at))
    ended: dict[str, Any] = {}
    try:
        asked = world.a.call("POST", f"/compute/instances/{machine['id']}/snapshots/s1/restore")
        assert asked.status_code == 202, asked.text
        until(lambda: machine["name"] in points.struck(), "a worker has it", 20)
        yield ended
    finally:
        points.set()
    path = f"/operations/{asked.json()['operation']['id']}"
    until(lambda: world.a.ok("GET", path)["state"] in ENDED, "it has ended", 30)
    ended |= world.a.ok("GET", path)


def _nic_cut(machine: dict[str, Any], mac: str) -> None:
    """Take a NIC off beside LibGo."""
    conn = libvirt.open("qemu:///system")
    try:
        xml = f"<interface type='bridge'><mac address='{mac}'/><source bridge='virbr0'/></interface>"
        conn.lookupByUUIDString(machine["id"]).detachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    finally:
        conn.close()


def _denials(world: World) -> list[tuple[str, str]]:
    """What the audit says of restores that A was denied: result and code."""
    rows = world.admin.ok("GET", f"/audit?user={world.a.username}&page_size=20")["items"]
    return [(row["result"], row["code"]) for row in rows if row["target"].endswith("/snapshots/s1/restore")]


def _restores(world: World, machine: dict[str, Any]) -> list[str]:
    """What the audit says of restores of it that a worker began for A, newest first: their results."""
    rows = world.admin.ok("GET", f"/audit?user={world.a.username}&page_size=50")["items"]
    there = [row for row in rows if (row["action"], row["target"]) == ("instance.restore", machine["name"])]
    return [row["code"] or row["result"] for row in there]


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


def _iso_gone(who: Caller, name: str) -> None:
    """The mirror learns a little later that no machine has it in its drive any more."""
    gone = f"/kvm/images/{name}?wait=60"
    until(lambda: who.call("DELETE", gone).status_code == 200, "it is deleted", 20)


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
    _iso_gone(world.a, iso)
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


@attack(
    "S29 S31",
    "the same while the restore waits for its worker: it was asked for before the ISO changed hands",
    refused="the operation fails, VOLUME_NOT_FOUND; the machine is as it was",
    audit="a row instance.restore with this code",
)
def test_a_medium_that_changed_hands_meanwhile_does_not_come_back(
    world: World, points: Failpoints, machine: dict[str, Any]
) -> None:
    iso, path = f"{world.name('kvm_image')}.iso", f"/kvm/vms/{machine['id']}/cdrom"
    _iso(world.a, iso)
    world.a.ok("POST", f"{path}?wait=60", {"image": iso})
    _snapshot(world.a, machine, "s1")
    world.a.ok("POST", f"{path}?wait=60", {"image": ""})
    try:
        with _restore_held(world, points, machine) as ended:
            _iso_gone(world.a, iso)
            _iso(world.b, iso)
        assert (ended["state"], ended["error"]["code"]) == ("failed", "VOLUME_NOT_FOUND"), ended
        assert iso not in _definition(machine)
        assert _restores(world, machine) == ["VOLUME_NOT_FOUND"]
    finally:
        world.admin.call("DELETE", f"/compute/instances/{machine['id']}?force=true&wait=30")
        world.admin.call("DELETE", f"/kvm/images/{iso}?wait=30")


def _bridge_cut(world: World, points: Failpoints, machine: dict[str, Any], *, at: str) -> str:
    """The code with which a restore fails whose bridge is taken off while it is held there; nothing came
    back, and the audit has the same code."""
    world.admin.ok("POST", f"/kvm/vms/{machine['id']}/nics?wait=60", {"bridge": "virbr0"})
    mac = _nic_on(world, machine, "virbr0")
    _snapshot(world.a, machine, "s1")
    with _restore_held(world, points, machine, at=at) as ended:
        _nic_cut(machine, mac)
    code = str(ended["error"]["code"])
    assert ended["state"] == "failed", ended
    assert "virbr0" not in _definition(machine)
    assert _restores(world, machine) == [code]
    return code


@attack(
    "S39 S45",
    "the same with a bridge of the host that somebody takes off while the restore waits for its worker",
    refused="the operation fails, POLICY_DENIED; the machine is as it was",
    audit="a row instance.restore with this code",
)
def test_a_bridge_that_was_taken_off_meanwhile_does_not_come_back(
    world: World, points: Failpoints, machine: dict[str, Any]
) -> None:
    assert _bridge_cut(world, points, machine, at="begin") == "POLICY_DENIED"


@attack(
    "S39 S45",
    "the same when the bridge is taken off after the worker has looked",
    refused="the operation fails, INVALID_STATE; the machine is as it was",
    audit="a row instance.restore with this code",
)
def test_a_bridge_that_was_taken_off_at_the_last_moment_does_not_come_back(
    world: World, points: Failpoints, machine: dict[str, Any]
) -> None:
    assert _bridge_cut(world, points, machine, at="Going back to s1") == "INVALID_STATE"
