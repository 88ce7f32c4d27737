"""Pools and volumes over the whole console and the real libvirt: made, filled, copied, refused."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.attacks.catalogue import attack
from tests.live import until
from tests.people import Caller, World

MIB = 1024**2


def _virsh(*words: str) -> str:
    command = ["virsh", "-q", "-c", "qemu:///system", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _volume(who: Caller, pool: str, name: str, **body: Any) -> dict[str, Any]:
    wanted = {"name": name, "capacity_bytes": 8 * MIB, **body}
    query = f"?project={who.project}" if who.project else ""
    return who.ok("POST", f"/storage/pools/{pool}/volumes{query}", wanted)


def _send(who: Caller, path: str, data: bytes, method: str = "POST") -> requests.Response:
    headers = {"Authorization": f"Bearer {who.token}", "Content-Type": "application/octet-stream"}
    return requests.request(method, f"{who.live.url}/api/v1{path}", data=data, headers=headers, timeout=90)


def _take(who: Caller, path: str, **headers: str) -> requests.Response:
    return who.call("GET", path, **headers)


def test_a_pool_is_made_seen_stopped_started_and_forgotten(world: World, folder: Path) -> None:
    name, path = world.name("pool"), folder / "deep"
    wanted = {"name": name, "type": "dir", "path": str(path), "autostart": False}
    made = world.admin.ok("POST", "/storage/pools", wanted)
    assert made["operation"]["state"] == "succeeded" and made["state"] == "running"
    assert made["path"] == str(path) and not made["autostart"] and made["capacity"] > made["available"] > 0
    assert name in _virsh("pool-list", "--name")
    (path / "by-hand.img").write_bytes(bytes(MIB))
    assert world.admin.ok("PUT", f"/storage/pools/{name}/refresh")["volume_count"] == 1
    assert world.viewer.ok("GET", f"/storage/pools?q={name}")["items"][0]["volume_count"] == 1
    assert world.admin.ok("PUT", f"/storage/pools/{name}/stop")["state"] == "inactive"
    assert world.admin.ok("POST", f"/storage/pools/{name}/stop")["state"] == "inactive", "again: no change"
    world.admin.refused(409, "INVALID_STATE", "PUT", f"/storage/pools/{name}/refresh")
    world.admin.refused(
        400, "INVALID_INPUT", "POST", f"/storage/pools/{name}/volumes", {"name": "x", "capacity_bytes": MIB}
    )
    assert world.admin.ok("PUT", f"/storage/pools/{name}/start")["state"] == "running"
    world.admin.refused(409, "NAME_CONFLICT", "POST", "/storage/pools", wanted)
    other = {**wanted, "name": world.name("pool")}
    world.admin.refused(409, "NAME_CONFLICT", "POST", "/storage/pools", other)
    world.admin.ok("DELETE", f"/storage/pools/{name}")
    world.admin.refused(404, "POOL_NOT_FOUND", "GET", f"/storage/pools/{name}")
    assert (path / "by-hand.img").exists(), "what is in a pool stays when it is forgotten"


@attack(
    "S45",
    "making and changing pools as an operator",
    refused="403",
    audit="a row for each, with the result refused",
)
def test_pools_are_changed_by_administrators_alone(world: World, pool: str, folder: Path) -> None:
    wanted = {"name": "libgo-t-no", "type": "dir", "path": str(folder / "no")}
    for who in (world.a, world.viewer):
        who.refused(403, "PERMISSION_DENIED", "POST", "/storage/pools", wanted)
        who.refused(403, "PERMISSION_DENIED", "PUT", f"/storage/pools/{pool}/stop")
        who.refused(403, "PERMISSION_DENIED", "DELETE", f"/storage/pools/{pool}")
        rows = world.admin.ok("GET", f"/audit?user={who.username}&page_size=3")["items"]
        assert [(row["result"], row["code"]) for row in rows] == [("refused", "PERMISSION_DENIED")] * 3
    assert not (folder / "no").exists()


def test_pools_of_the_system_and_of_absent_tools_are_refused(world: World, folder: Path) -> None:
    link = folder / "link"
    link.symlink_to("/etc")
    for path in (
        "/",
        "/etc",
        "/var/lib/libvirt/qemu",
        "relative",
        "/srv/../etc",
        "/srv",
        "/usr/local/x",
        str(link),
    ):
        body = {"name": "libgo-t-bad", "type": "dir", "path": path}
        error = world.admin.refused(400, "INVALID_INPUT", "POST", "/storage/pools", body)
        assert "path" in error["details"]["fields"], path
    types = {item["type"]: item for item in world.admin.ok("GET", "/storage/pool-types")["items"]}
    assert types["dir"]["supported"]
    absent = [item for item in types.values() if not item["supported"] and item["type"] == "logical"]
    for item in absent:
        body = {"name": "libgo-t-bad", "type": item["type"], "source": {"name": "vg0"}}
        error = world.admin.refused(422, "OPERATION_NOT_SUPPORTED", "POST", "/storage/pools", body)
        assert item["missing"] in error["message"]
    for body in ({"name": "a/b"}, {"name": "-x"}, {"name": "x", "type": "dir"}):
        world.admin.refused(
            400,
            "INVALID_INPUT",
            "POST",
            "/storage/pools",
            {"path": "/srv/x", **body} if "type" not in body else body,
        )
    assert "libgo-t-bad" not in _virsh("pool-list", "--all", "--name")


def test_volumes_are_their_projects_alone(world: World, pool: str) -> None:
    made = _volume(world.a, pool, "data")
    assert made["project"]["name"] == world.a.project and made["format"] == "qcow2"
    assert made["capacity"] == 8 * MIB and not made["in_use"] and made["machines"] == []
    path = f"/storage/pools/{pool}/volumes"
    assert world.viewer.ok("GET", f"{path}/data")["id"] == made["id"]
    assert world.b.ok("GET", path)["total"] == 0
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/download"), ("POST", "/wipe")):
        world.b.refused(404, "VOLUME_NOT_FOUND", method, f"{path}/data{tail}")
    world.viewer.refused(403, "PERMISSION_DENIED", "DELETE", f"{path}/data")
    world.viewer.refused(403, "PERMISSION_DENIED", "GET", f"{path}/data/download")
    world.b.refused(
        409,
        "NAME_CONFLICT",
        "POST",
        f"{path}?project={world.b.project}",
        {"name": "data", "capacity_bytes": MIB},
    )
    world.admin.ok("PUT", f"/storage/pools/{pool}/stop")
    world.admin.ok("PUT", f"/storage/pools/{pool}/start")
    until(lambda: world.a.ok("GET", path)["total"] == 1, "whose it is outlives the pool's restart", 10)
    assert world.b.ok("GET", path)["total"] == 0
    world.a.ok("DELETE", f"{path}/data")
    assert world.a.ok("GET", path)["total"] == 0 and _virsh("vol-list", pool) == ""


@attack("S54", "volumes with /, .., options, newlines in their names", refused="400")
@pytest.mark.parametrize(
    "name", ["a b", "-x", ".hidden", "libgo-vm-x", "a%2Fb", "a\\b", "ä", "x" * 200, "..", "a\nb"]
)
def test_odd_volume_names_are_refused(world: World, pool: str, name: str) -> None:
    body = {"name": name.replace("%2F", "/"), "capacity_bytes": MIB}
    error = world.admin.refused(400, "INVALID_INPUT", "POST", f"/storage/pools/{pool}/volumes", body)
    assert "name" in error["details"]["fields"]
    assert world.admin.call("GET", f"/storage/pools/{pool}/volumes/..%2F..%2Fetc%2Fpasswd").status_code == 404


def test_volumes_grow_and_never_shrink(world: World, pool: str) -> None:
    _volume(world.a, pool, "disk", format="raw")
    path = f"/storage/pools/{pool}/volumes/disk"
    assert world.a.ok("PUT", f"{path}/resize", {"capacity_bytes": 16 * MIB})["capacity"] == 16 * MIB
    error = world.a.refused(400, "INVALID_INPUT", "PUT", f"{path}/resize", {"capacity_bytes": 4 * MIB})
    assert "smaller" in str(error["details"]["fields"])
    assert "16777216" in _virsh("vol-info", "disk", "--pool", pool, "--bytes")


def test_content_goes_in_and_comes_out_by_ranges(world: World, pool: str) -> None:
    _volume(world.a, pool, "disk", format="raw")
    path, data = f"/storage/pools/{pool}/volumes/disk", os.urandom(5 * MIB + 17)
    digest = hashlib.sha256(data).hexdigest()
    sent = _send(world.a, f"{path}/upload?wait=60&sha256={digest}", data)
    assert sent.status_code == 200, sent.text
    whole = _take(world.a, f"{path}/download")
    assert whole.status_code == 200 and whole.content == data + bytes(8 * MIB - len(data))
    part = _take(world.a, f"{path}/download", Range=f"bytes={4 * MIB - 3}-{4 * MIB + 4}")
    assert part.status_code == 206 and part.content == data[4 * MIB - 3 : 4 * MIB + 5]
    assert part.headers["Content-Range"] == f"bytes {4 * MIB - 3}-{4 * MIB + 4}/{8 * MIB}"
    assert _send(world.a, f"{path}/upload?wait=60", b"short").status_code == 200
    assert _take(world.a, f"{path}/download").content == b"short".ljust(8 * MIB, b"\0"), "nothing old is left"
    wrong = _send(world.a, f"{path}/upload?wait=60&sha256={'0' * 64}", data)
    assert wrong.status_code == 400 and "sha256" in wrong.json()["error"]["details"]["fields"]
    assert not any(_take(world.a, f"{path}/download").content), "what was damaged on its way is not kept"
    assert world.a.ok("POST", f"{path}/wipe")["capacity"] == 8 * MIB


def test_an_upload_is_never_more_than_the_volume_holds(world: World, pool: str, folder: Path) -> None:
    _volume(world.a, pool, "disk", format="raw")
    path = f"/storage/pools/{pool}/volumes/disk"

    def unannounced() -> Any:
        for _ in range(9):
            yield bytes(MIB)

    announced = _send(world.a, f"{path}/upload?wait=60", bytes(9 * MIB))
    chunked = _send(world.a, f"{path}/upload?wait=60", unannounced())
    for answer in (announced, chunked):
        assert answer.status_code == 413 and answer.json()["error"]["code"] == "PAYLOAD_TOO_LARGE", (
            answer.text
        )
    assert (folder / "p" / "disk").stat().st_size == 8 * MIB


def _qcow2(folder: Path, *options: str, size: str = "4M") -> bytes:
    path = folder / "made.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", *options, str(path), size], check=True)
    return path.read_bytes()


@attack("S56", "the same as an upload into a volume", refused="refused; the volume is empty")
def test_images_that_name_other_files_never_get_into_a_volume(world: World, pool: str, folder: Path) -> None:
    _volume(world.a, pool, "disk")
    _volume(world.a, pool, "flat", format="raw")
    path = f"/storage/pools/{pool}/volumes"
    backed = _qcow2(folder, "-b", "/etc/shadow", "-F", "raw")
    plain, large = _qcow2(folder), _qcow2(folder, size="1T")
    external = bytearray(plain)
    struct.pack_into(">Q", external, 72, 4)
    for target, data in (("disk", backed), ("disk", bytes(external)), ("flat", plain), ("flat", backed)):
        before = _take(world.a, f"{path}/{target}/download").content
        answer = _send(world.a, f"{path}/{target}/upload?wait=60", data)
        assert answer.status_code == 400, f"{target}: {answer.text}"
        assert _take(world.a, f"{path}/{target}/download").content == before, "nothing was written"
    assert _send(world.a, f"{path}/disk/upload?wait=60", large).status_code == 413
    assert _send(world.a, f"{path}/disk/upload?wait=60", plain).status_code == 200
    assert world.a.ok("GET", f"{path}/disk")["capacity"] == 4 * MIB


@attack("S58", "a guest that writes a qcow2 header onto its raw disk", refused="the disk stays raw")
def test_what_a_guest_wrote_into_a_raw_disk_is_never_read_as_an_image(
    world: World, pool: str, folder: Path
) -> None:
    """The content says qcow2 with a backing file; the volume is raw, and stays so."""
    _volume(world.a, pool, "evil", format="raw")
    (folder / "secret").write_bytes(b"secret" * 1000)
    with (folder / "p" / "evil").open("r+b") as file:
        file.write(_qcow2(folder, "-b", str(folder / "secret"), "-F", "raw"))
    world.admin.ok("PUT", f"/storage/pools/{pool}/refresh")
    path = f"/storage/pools/{pool}/volumes"
    seen = world.a.ok("GET", f"{path}/evil")
    assert seen["format"] == "raw" and seen["backing_chain"] == []
    world.a.refused(
        409, "INVALID_STATE", "POST", f"{path}/evil/clone?project={world.a.project}", {"name": "copy"}
    )
    thin = {"name": "thin", "capacity_bytes": 8 * MIB, "backing_store": "evil"}
    world.a.refused(409, "INVALID_STATE", "POST", f"{path}?project={world.a.project}", thin)
    assert world.a.ok("GET", path)["total"] == 1, "nothing is left of what was refused"


def test_thin_and_full_copies_and_what_they_stand_on(world: World, pool: str) -> None:
    _volume(world.a, pool, "base")
    path = f"/storage/pools/{pool}/volumes"
    thin = _volume(world.a, pool, "thin", backing_store="base", capacity_bytes=16 * MIB)
    assert [link["name"] for link in thin["backing_chain"]] == ["base"]
    base = world.a.ok("GET", f"{path}/base")
    assert base["in_use"] and base["copies"] == [f"{pool}/thin"]
    error = world.a.refused(409, "VOLUME_IN_USE", "DELETE", f"{path}/base")
    assert "thin" in error["message"]
    for body in ({"backing_store": "/etc/passwd"}, {"backing_store": "base", "format": "raw"}):
        wanted = {"name": "no", "capacity_bytes": 16 * MIB, **body}
        world.a.refused(400, "INVALID_INPUT", "POST", f"{path}?project={world.a.project}", wanted)
    full = world.a.ok("POST", f"{path}/thin/clone", {"name": "full", "format": "raw"})
    assert full["backing_chain"] == [] and full["format"] == "raw" and full["capacity"] == 16 * MIB
    world.a.refused(409, "INVALID_STATE", "GET", f"{path}/thin/download")
    for name in ("thin", "base", "full"):
        world.a.ok("DELETE", f"{path}/{name}")


@attack("S84", "volumes past the quota, thin ones too", refused="refused")
def test_the_storage_limit_of_a_project_counts_its_volumes(world: World, pool: str) -> None:
    limits = f"/projects/{world.b.project}/limits"
    world.admin.ok("PUT", limits, {"max_storage_bytes": 20 * MIB})
    try:
        _volume(world.b, pool, "one", capacity_bytes=16 * MIB)
        body = {"name": "two", "capacity_bytes": 16 * MIB}
        query = f"/storage/pools/{pool}/volumes?project={world.b.project}"
        world.b.refused(403, "RESOURCE_LIMIT_EXCEEDED", "POST", query, body)
        path = f"/storage/pools/{pool}/volumes/one/resize"
        world.b.refused(403, "RESOURCE_LIMIT_EXCEEDED", "PUT", path, {"capacity_bytes": 32 * MIB})
    finally:
        world.admin.ok("PUT", limits, {"max_storage_bytes": None})


def test_a_pool_is_not_stopped_under_a_running_machine(world: World, pool: str) -> None:
    """A pause of the guest is enough: its disk is open."""
    name = world.name("machine")
    made = world.a.machine(name)
    assert made.status_code == 201, made.text
    disk = made.json()["instance"]["storage"][0]["source"]
    until(lambda: _users(world, disk) == [name], "the volume tells who uses it", 10)
    error = world.admin.refused(409, "VOLUME_IN_USE", "PUT", "/storage/pools/default/stop")
    assert name in error["message"]
    path = f"/storage/pools/default/volumes/{disk}"
    for method, tail, body in (("DELETE", "", None), ("POST", "/wipe", None)):
        assert name in world.a.refused(409, "VOLUME_IN_USE", method, path + tail, body)["message"]
    world.a.refused(409, "INVALID_STATE", "POST", f"{path}/clone", {"name": "libgo-t-x"})
    world.a.refused(409, "INVALID_STATE", "PUT", f"{path}/resize", {"capacity_bytes": 80 * MIB})
    world.b.refused(404, "VOLUME_NOT_FOUND", "GET", path)
    seen = world.a.ok("GET", path)
    assert seen["project"]["name"] == world.a.project
    assert [link["name"] for link in seen["backing_chain"]] == ["libgo-demo"]


def _users(world: World, disk: str) -> list[str]:
    answer = world.a.call("GET", f"/storage/pools/default/volumes/{disk}")
    return [user["name"] for user in answer.json().get("machines", [])] if answer.status_code == 200 else []
