"""The rows of one machine over the API, as operators, viewers, strangers and administrators use them."""

from __future__ import annotations

from typing import Any

from tests.live import until
from tests.people import World

_MIB = 1024**2


def _made(world: World, **config: Any) -> str:
    name = world.name("machine")
    answer = world.a.machine(name, auto_start=False, **config)
    assert answer.status_code == 201, answer.text
    return name


def _instance(world: World, name: str) -> dict[str, Any]:
    return world.a.ok("GET", f"/compute/instances/{name}")


def test_the_hardware_of_a_machine_from_end_to_end(world: World) -> None:
    name = _made(world, description='<b a="&">', autostart=True, os_variant="debian12")
    one = f"/kvm/vms/{name}"
    assert _instance(world, name)["config"]["description"] == '<b a="&">'

    disk = world.a.ok("POST", f"{one}/disks?wait=60", {"size": 8 * _MIB, "format": "raw", "bus": "scsi"})
    target = disk["operation"]["result"]["name"]
    assert [d["size"] for d in disk["instance"]["storage"] if d["name"] == target] == [8 * _MIB]
    grown = world.a.ok(
        "PUT", f"{one}/disks/{target}?wait=60", {"size": 9 * _MIB, "io_limits": {"total_iops_sec": 9}}
    )
    shown = next(d for d in grown["instance"]["config"]["devices"]["disks"] if d["target"] == target)
    assert shown["io_limits"] == {"total_iops_sec": 9}
    error = world.a.refused(400, "INVALID_INPUT", "PUT", f"{one}/disks/{target}?wait=60", {"size": 8 * _MIB})
    assert "never made smaller" in error["message"]
    world.a.refused(404, "NOT_FOUND", "PUT", f"{one}/disks/vdz?wait=60", {"size": 8 * _MIB})
    world.a.refused(400, "INVALID_INPUT", "PUT", f"{one}/disks/x?wait=60", {"size": 1})
    world.a.ok("DELETE", f"{one}/disks/{target}?delete_storage=true&wait=60")

    nic = world.a.ok("POST", f"{one}/nics?wait=60", {"network": "default", "model": "e1000e"})
    mac = nic["operation"]["result"]["mac_address"]
    assert [n["mac_address"] for n in nic["instance"]["networks"]] == [mac]
    error = world.a.refused(
        400, "INVALID_INPUT", "POST", f"{one}/nics", {"network": "default", "mac_address": mac}
    )
    assert name in error["message"], "a MAC address is taken once"
    error = world.a.refused(400, "INVALID_INPUT", "POST", f"{one}/nics", {"network": "libgo-t-no"})
    assert "default" in error["message"], "it says which there are"
    error = world.a.refused(403, "POLICY_DENIED", "POST", f"{one}/nics", {"bridge": "virbr0"})
    assert error["details"]["rule"] == "host_network"
    world.a.ok("DELETE", f"{one}/nics/{mac.upper()}?wait=60")

    world.a.refused(404, "IMAGE_NOT_FOUND", "POST", f"{one}/cdrom?wait=60", {"image": "libgo-t-no.iso"})
    drive = world.a.ok("POST", f"{one}/cdrom?wait=60", {"image": None})["operation"]["result"]["name"]
    world.a.ok("DELETE", f"{one}/cdrom/{drive}?wait=60")
    world.a.refused(404, "NOT_FOUND", "DELETE", f"{one}/cdrom/{drive}")

    off = world.a.ok("PUT", f"{one}/autostart?wait=60", {"autostart": False})
    assert "autostart" not in off["instance"]["config"]
    told = world.a.ok(
        "PUT", f"{one}?wait=60", {"description": "two\nlines & <more>", "boot": ["cdrom", "hd"]}
    )
    assert told["instance"]["config"]["description"] == "two\nlines & <more>"
    assert told["instance"]["config"]["boot"] == ["cdrom", "hd"]


def test_the_unified_rows_attach_and_detach(world: World) -> None:
    name = _made(world)
    one = f"/compute/instances/{name}"
    made = world.a.ok("POST", f"{one}/storage?wait=60", {"size": 4 * _MIB})["operation"]["result"]
    assert made["size"] == 4 * _MIB
    assert made["name"] in [d["name"] for d in world.a.ok("GET", f"{one}/storage")["items"]]
    world.a.ok("DELETE", f"{one}/storage/{made['name']}?delete_storage=true&wait=60")
    world.a.refused(404, "NOT_FOUND", "DELETE", f"{one}/storage/{made['name']}")
    world.a.refused(400, "INVALID_INPUT", "POST", f"{one}/storage", {"size": 4 * _MIB, "source": "x"})
    world.a.refused(404, "VOLUME_NOT_FOUND", "POST", f"{one}/storage", {"source": "libgo-demo"})
    joined = world.a.ok("POST", f"{one}/networks?wait=60", {"network": "default"})
    assert [n["network"] for n in joined["instance"]["networks"]] == ["default"]
    world.a.ok("DELETE", f"{one}/networks/default?wait=60")
    assert world.a.ok("GET", f"{one}/networks")["items"] == []


def test_who_may_do_what(world: World) -> None:
    name = _made(world)
    one = f"/kvm/vms/{name}"
    for method, path, body in (
        ("POST", "/disks", {"size": 4 * _MIB}),
        ("POST", "/nics", {"network": "default"}),
        ("POST", "/cdrom", {}),
        ("PUT", "/autostart", {"autostart": True}),
        ("DELETE", "/save", None),
        ("GET", "/xml", None),
    ):
        world.b.refused(404, "INSTANCE_NOT_FOUND", method, one + path, body)
        world.viewer.refused(403, "PERMISSION_DENIED", method, one + path, body)
    shown = world.a.ok("GET", f"{one}/xml")["xml"]
    assert shown.startswith("<domain")
    world.a.refused(403, "PERMISSION_DENIED", "PUT", f"{one}/xml", {"xml": shown})


def test_an_administrator_edits_the_definition(world: World) -> None:
    name = _made(world)
    one = f"/kvm/vms/{name}/xml"
    read = world.admin.call("GET", one)
    shown, tag = read.json()["xml"], read.headers["ETag"]
    edited = shown.replace("<on_crash>destroy<", "<on_crash>restart<")
    tried = world.admin.ok("PUT", one, {"xml": edited, "dry_run": True})
    assert "+  <on_crash>restart" in tried["diff"] and tried["operation"] is None
    done = world.admin.ok("PUT", f"{one}?wait=60", {"xml": edited}, **{"If-Match": tag})
    assert "+  <on_crash>restart" in done["operation"]["result"]["diff"]
    late = world.admin.call("PUT", one, {"xml": shown}, **{"If-Match": tag})
    assert (late.status_code, late.json()["error"]["code"]) == (412, "PRECONDITION_FAILED")
    for bad in ("<domain>", "<network/>", edited.replace(f"<name>{name}", "<name>other")):
        world.admin.refused(400, "INVALID_INPUT", "PUT", one, {"xml": bad, "dry_run": True})
        world.admin.refused(400, "INVALID_INPUT", "PUT", one, {"xml": bad})


def test_a_saved_machine_says_so_and_goes_on(world: World) -> None:
    name = _made(world)
    one = f"/compute/instances/{name}"
    started = world.a.ok("PUT", f"{one}/start?wait=60")
    assert started["instance"]["state"] == "running"
    saved = world.a.ok("PUT", f"/kvm/vms/{name}/save?wait=60")["instance"]
    assert (saved["state"], saved["status"], saved["config"]["saved"]) == ("stopped", "Saved to disk", True)
    world.a.ok("PUT", f"{one}/start?wait=60")
    # What the watcher read while it was being restored may be written last, until the next fact.
    until(lambda: _instance(world, name)["state"] == "running", "it goes on", 20)
    # Still in its firmware, it hears no button: that is told, and nothing is forced.
    refused = world.a.refused(409, "INVALID_STATE", "PUT", f"{one}/stop?wait=60", {"timeout": 0.2})
    assert refused["details"]["offer"] == "force"
    assert _instance(world, name)["state"] == "running"
    world.a.ok("PUT", f"/kvm/vms/{name}/save?wait=60")
    dropped = world.a.ok("DELETE", f"/kvm/vms/{name}/save?wait=60")["instance"]
    assert dropped["status"] == "Shut off" and "saved" not in dropped["config"]


def test_the_project_s_room_for_disks_is_kept(world: World) -> None:
    name = _made(world)
    project = f"/projects/{world.a.project}/limits"
    used = _instance(world, name)["resources"]["storage"]["total_space"]
    world.admin.ok("PUT", project, {"max_storage_bytes": used + 10 * _MIB})
    try:
        one = f"/kvm/vms/{name}/disks"
        error = world.a.refused(403, "RESOURCE_LIMIT_EXCEEDED", "POST", one, {"size": 2**40})
        assert error["details"]["limit"] == "max_storage_bytes"
        body = {"name": "libgo-t-big", "backend": "kvm", "project": world.a.project}
        big = {"image": "libgo-demo", "disks": [{"size": 2**40}]}
        world.a.refused(403, "RESOURCE_LIMIT_EXCEEDED", "POST", "/compute/instances", {**body, "config": big})
        world.a.refused(403, "RESOURCE_LIMIT_EXCEEDED", "PUT", f"{one}/vda", {"size": used + 2**40})
    finally:
        world.admin.ok("PUT", project, {"max_storage_bytes": None})


def test_a_change_from_outside_is_pending(world: World) -> None:
    """With virsh, while it runs: LibGo tells what the next start will bring."""
    name = _made(world, max_vcpus=2)
    world.a.ok("PUT", f"/compute/instances/{name}/start?wait=60")
    xml = world.admin.ok("GET", f"/kvm/vms/{name}/xml")["xml"]
    assert "current='1'" in xml or 'current="1"' in xml
    edited = xml.replace('<vcpu placement="static" current="1">2', '<vcpu placement="static" current="2">2')
    assert edited != xml
    world.admin.ok("PUT", f"/kvm/vms/{name}/xml?wait=60", {"xml": edited})
    until(lambda: _instance(world, name)["pending_changes"] == {"cpu_cores": 2}, "it is pending", 20)
    world.a.ok("PUT", f"/compute/instances/{name}/stop?wait=60", {"force": True})
    assert _instance(world, name)["pending_changes"] == {}
