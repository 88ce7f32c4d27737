"""``/networks`` over a real libvirt: made, changed, left, cut off, taken away."""

from __future__ import annotations

import random
from typing import Any

import libvirt
import pytest

from kvm.backend import KvmBackend
from tests.live import until
from tests.people import World


def body(world: World, **more: Any) -> dict[str, Any]:
    """A network in a subnet that nobody has."""
    second, third = random.randint(100, 250), random.randint(1, 250)
    ip = {"address": f"10.{second}.{third}.1", "netmask": "255.255.255.0", "dhcp": {"enabled": True}}
    return {"name": world.name("kvm_network"), "ip": ip, "autostart": False, **more}


def test_the_life_of_a_network(world: World, backend: KvmBackend) -> None:
    wanted = body(world, forward={"mode": "nat"}, autostart=True)
    name, gateway = wanted["name"], wanted["ip"]["address"]
    made = world.admin.ok("POST", "/networks", wanted)
    assert (made["active"], made["autostart"], made["persistent"]) == (True, True, True)
    assert made["ip"]["address"] == gateway and made["bridge_name"].startswith("virbr")
    assert made["operation"]["state"] == "succeeded"
    path = f"/networks/{name}"

    # Seen by everybody, changed by administrators only; whatever is not theirs to see is not there.
    assert world.viewer.ok("GET", path)["uuid"] == made["uuid"]
    assert name in [row["name"] for row in world.a.ok("GET", f"/networks?q={name}")["items"]]
    for method, where in (("PUT", path), ("DELETE", path), ("PUT", f"{path}/stop"), ("PUT", f"{path}/start")):
        world.a.refused(403, "PERMISSION_DENIED", method, where, {} if method == "PUT" else None)
    world.a.refused(403, "PERMISSION_DENIED", "POST", "/networks", body(world))
    world.admin.refused(409, "NAME_CONFLICT", "POST", "/networks", wanted)
    taken = world.admin.refused(
        400, "INVALID_INPUT", "POST", "/networks", {**body(world), "ip": wanted["ip"]}
    )
    assert name in taken["details"]["fields"]["ip.address"], "who has the subnet is said"
    assert name not in [row["name"] for row in world.admin.ok("GET", "/docker/networks?q=libgo-t")["items"]]

    # DHCP hosts are live at once; another subnet waits for the next start, and says so.
    prefix = gateway.rpartition(".")[0]
    host = {"mac": "52:54:00:0a:0b:0c", "name": "fixed", "ip": f"{prefix}.77"}
    changed = world.admin.ok("PUT", path, {"ip": {"dhcp": {"hosts": [host]}}})
    assert changed["ip"]["dhcp"]["hosts"] == [host] and changed["pending_changes"] == {}
    assert "fixed" in _xml(backend, name, 0), "libvirt's running network knows the host"
    moved = world.admin.ok("PUT", path, {"ip": {"address": f"{prefix}.254", "dhcp": {"hosts": []}}})
    assert moved["ip"]["address"] == f"{prefix}.254" and list(moved["pending_changes"]) == ["ip"]
    assert f"{prefix}.254" not in _xml(backend, name, 0)
    assert world.admin.ok("GET", f"{path}/leases")["items"] == []

    stopped = world.admin.ok("PUT", f"{path}/stop")
    assert not stopped["active"] and stopped["cut_off"] == []
    assert not world.admin.ok("PUT", f"{path}/stop")["active"], "stopping what is stopped is fine"
    started = world.admin.ok("POST", f"{path}/start")
    assert started["active"] and started["pending_changes"] == {}
    assert world.admin.ok("PUT", f"{path}/start")["active"]
    world.admin.ok("DELETE", path)
    world.admin.refused(404, "NETWORK_NOT_FOUND", "GET", path)
    world.admin.refused(404, "NETWORK_NOT_FOUND", "PUT", f"{path}/start")


def test_changes_made_outside_are_seen_by_themselves(world: World, backend: KvmBackend) -> None:
    wanted = body(world)
    name = wanted["name"]
    world.admin.ok("POST", "/networks", wanted)
    backend._connection.call(lambda conn: conn.networkLookupByName(name).destroy())
    until(lambda: not world.a.ok("GET", f"/networks/{name}")["active"], "the mirror sees it stopped", 15)
    backend._connection.call(lambda conn: conn.networkLookupByName(name).undefine())
    until(lambda: world.a.call("GET", f"/networks/{name}").status_code == 404, "the mirror sees it gone", 15)


@pytest.mark.parametrize("mode", ["route", "isolated", "open"])
def test_modes_without_nat(world: World, mode: str) -> None:
    wanted = body(world, forward={"mode": mode})
    made = world.admin.ok("POST", "/networks", wanted)
    assert made["forward"]["mode"] == mode and made["active"]


def test_what_cannot_be_is_refused_and_leaves_nothing(world: World, backend: KvmBackend) -> None:
    bridge = {"forward": {"mode": "bridge"}, "bridge_name": "nosuchbr0", "ip": None}
    for more, field in (
        (bridge, "bridge_name"),
        ({"bridge_name": "docker0"}, "bridge_name"),
        ({"forward": {"mode": "nat", "dev": "nosuch0"}}, "forward.dev"),
        ({"ip": {"address": "192.168.122.200", "netmask": "24"}}, "ip.address"),
        ({"ip": {"address": "172.17.200.1", "netmask": "24"}}, "ip.address"),
        ({"ip": {"adress": "10.0.0.1"}}, "ip.adress"),
        ({"name": "x'/><evil/>"}, "name"),
        ({"colour": "red"}, "colour"),
    ):
        wanted = {**body(world), **more}
        refused = world.admin.refused(400, "INVALID_INPUT", "POST", "/networks", wanted)
        assert field in refused["details"]["fields"], refused
        assert wanted["name"] not in _names(backend)
    on_docker = {"name": world.name("kvm_network"), "forward": {"mode": "bridge"}, "bridge_name": "docker0"}
    made = world.admin.ok("POST", "/networks", on_docker)
    assert made["ip"] is None and made["bridge_name"] == "docker0", "a bridge that is there can be joined"


def test_a_network_under_running_machines_is_cut_only_by_force(world: World, backend: KvmBackend) -> None:
    wanted = body(world)
    name, machine = wanted["name"], world.name("machine")
    world.admin.ok("POST", "/networks", wanted)
    made = world.a.machine(machine, networks=[name])
    assert made.status_code == 201, made.text
    path = f"/networks/{name}"
    for method, where in (("PUT", f"{path}/stop"), ("DELETE", path)):
        refused = world.admin.refused(409, "NETWORK_IN_USE", method, where, None)
        assert machine in refused["message"] and refused["details"]["machines"] == [machine]
    assert _running(backend, name), "nothing was cut off"
    seen = world.a.ok("GET", path)
    assert [user["name"] for user in seen["machines"]] == [machine] and seen["in_use"]
    assert world.b.ok("GET", path)["machines"] == [], "others' machines are not shown"
    assert seen.get("project", None) is None, "it stays the host's, whoever uses it"

    def leased() -> bool:
        return [row["machine"] for row in world.a.ok("GET", f"{path}/leases")["items"]] != []

    until(leased, "the machine got its address", 90)
    lease = world.a.ok("GET", f"{path}/leases")["items"][0]
    assert lease["machine"]["name"] == machine and lease["expires_at"]
    assert lease["ip_address"].startswith(wanted["ip"]["address"].rpartition(".")[0])
    assert world.b.ok("GET", f"{path}/leases")["items"] == []
    cut = world.admin.ok("PUT", f"{path}/stop?force=true")
    assert cut["cut_off"] == [machine] and not _running(backend, name)
    world.admin.ok("PUT", f"{path}/start")
    world.admin.ok("DELETE", f"{path}?force=true")


def _xml(backend: KvmBackend, name: str, flags: int) -> str:
    return backend._connection.call(lambda conn: str(conn.networkLookupByName(name).XMLDesc(flags)))


def _names(backend: KvmBackend) -> list[str]:
    return backend._connection.call(lambda conn: [item.name() for item in conn.listAllNetworks(0)])


def _running(backend: KvmBackend, name: str) -> bool:
    def method(conn: libvirt.virConnect) -> bool:
        return bool(conn.networkLookupByName(name).isActive())

    return backend._connection.call(method)
