"""The library over the whole console: uploads (whole, broken off and taken up again), copies, addresses."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from compute.errors import InvalidInput, PolicyDenied
from kvm.engine.fetch import url_require
from tests.attacks.catalogue import attack
from tests.live import until
from tests.people import Caller, World

MIB = 1024**2
BYTES = "application/octet-stream"


def _send(who: Caller, path: str, data: Any, method: str = "POST") -> requests.Response:
    headers = {"Authorization": f"Bearer {who.token}", "Content-Type": BYTES}
    return requests.request(method, f"{who.live.url}/api/v1{path}", data=data, headers=headers, timeout=90)


def _made(folder: Path, kind: str, *options: str, size: str = "4M") -> bytes:
    path = folder / f"made.{kind}"
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", kind, *options, str(path), size], check=True)
    return path.read_bytes()


def _upload(who: Caller, pool: str, name: str, data: bytes, **query: str) -> requests.Response:
    words = {"name": name, "pool": pool, **({"project": who.project} if who.project else {}), **query}
    return _send(who, "/kvm/images?wait=60&" + "&".join(f"{k}={v}" for k, v in words.items()), data)


def _files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "p"))


def test_an_upload_becomes_an_image_of_its_project(world: World, pool: str, folder: Path, token: str) -> None:
    data, name = _made(folder, "qcow2"), f"libgo-t-{token}"
    digest = hashlib.sha256(data).hexdigest()
    made = _upload(world.a, pool, name, data, sha256=digest, disk_format="qcow2")
    assert made.status_code == 201, made.text
    seen = world.a.ok("GET", f"/kvm/images/{name}")
    assert (seen["kind"], seen["format"], seen["capacity"]) == ("template", "qcow2", 4 * MIB)
    assert seen["project"]["name"] == world.a.project and not seen["in_use"]
    assert world.viewer.ok("GET", f"/kvm/images?q={name}")["total"] == 1
    world.b.refused(404, "IMAGE_NOT_FOUND", "GET", f"/kvm/images/{name}")
    world.b.refused(404, "IMAGE_NOT_FOUND", "DELETE", f"/kvm/images/{name}")
    world.viewer.refused(403, "PERMISSION_DENIED", "DELETE", f"/kvm/images/{name}")
    assert _upload(world.a, pool, name, data).json()["error"]["code"] == "NAME_CONFLICT"
    assert _files(folder) == [name], "no staging is left"
    world.a.ok("DELETE", f"/kvm/images/{name}")
    assert _files(folder) == []


@pytest.mark.parametrize("kind", ["vmdk", "vdi", "raw"])
def test_other_formats_are_taken_in_as_what_machines_use(
    world: World, pool: str, folder: Path, token: str, kind: str
) -> None:
    answer = _upload(world.a, pool, token, _made(folder, kind), disk_format=kind)
    assert answer.status_code == 201, answer.text
    seen = world.a.ok("GET", f"/kvm/images/{pool}/{token}")
    assert seen["format"] == ("raw" if kind == "raw" else "qcow2") and seen["capacity"] == 4 * MIB


def test_an_iso_is_told_by_its_content_and_its_name(
    world: World, pool: str, folder: Path, token: str
) -> None:
    data = bytes(32769) + b"CD001" + bytes(MIB)
    assert _upload(world.a, pool, token, data).status_code == 400
    assert _upload(world.a, pool, f"{token}.iso", b"no" * MIB).status_code == 400
    assert _upload(world.admin, pool, f"{token}.iso", data).status_code == 201
    seen = world.b.ok("GET", f"/kvm/images?kind=iso&pool={pool}")["items"]
    assert [item["name"] for item in seen] == [f"{token}.iso"] and seen[0]["project"] is None
    world.a.refused(403, "PERMISSION_DENIED", "DELETE", f"/kvm/images/{token}.iso")


def test_what_was_let_go_of_can_be_deleted_at_once(world: World) -> None:
    """Although the mirror has not looked since: in the drive of one machine, and of one that is deleted."""
    iso, machine = f"{world.name('kvm_image')}.iso", world.name("machine")
    world.made.append(("kvm_image", iso))
    data = bytes(32769) + b"CD001" + bytes(MIB)
    for let_go in ("eject", "delete"):
        assert _upload(world.a, "default", iso, data).status_code == 201
        made = world.a.machine(machine, auto_start=False)
        assert made.status_code == 201, made.text
        drive = f"/kvm/vms/{made.json()['instance']['id']}/cdrom?wait=60"
        world.a.ok("POST", drive, {"image": iso})
        until(lambda: world.a.ok("GET", f"/kvm/images/{iso}")["in_use"], "its user is seen", 20)
        world.a.refused(409, "IMAGE_IN_USE", "DELETE", f"/kvm/images/{iso}?wait=60")
        if let_go == "eject":
            world.a.ok("POST", drive, {"image": ""})
        else:
            world.a.ok("DELETE", f"/compute/instances/{machine}?force=true&wait=60")
        world.a.ok("DELETE", f"/kvm/images/{iso}?wait=60")
        world.admin.call("DELETE", f"/compute/instances/{machine}?force=true&wait=60")


@attack("S56 S58", "hostile and damaged images as uploads", refused="refused; nothing is left")
def test_hostile_and_damaged_uploads_leave_nothing(world: World, pool: str, folder: Path, token: str) -> None:
    external = bytearray(_made(folder, "qcow2"))
    struct.pack_into(">Q", external, 72, 4)
    hostile = {
        "backing": _made(folder, "qcow2", "-b", "/etc/shadow", "-F", "raw"),
        "external": bytes(external),
        "absurd": _made(folder, "qcow2", size="100T"),
        "descriptor": b'# Disk DescriptorFile\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/shadow" 0\n',
        "empty": b"",
    }
    for word, data in hostile.items():
        answer = _upload(world.a, pool, f"{token}-{word}", data)
        assert answer.status_code == 400, f"{word}: {answer.status_code} {answer.text}"
    damaged = _upload(world.a, pool, token, _made(folder, "qcow2"), sha256="0" * 64)
    assert damaged.status_code == 400 and "sha256" in damaged.text
    lying = _upload(world.a, pool, token, _made(folder, "qcow2"), disk_format="raw")
    assert lying.status_code == 400, "a raw image that would be read as qcow2 by whoever guesses"
    for name in ("../x", "a b", "-x", "libgo-vm-x"):
        assert _upload(world.a, pool, name, b"x").status_code == 400
    assert _files(folder) == []
    assert world.a.ok("GET", f"/kvm/images?pool={pool}")["total"] == 0


def test_an_upload_goes_on_where_it_was_broken_off(world: World, pool: str, folder: Path, token: str) -> None:
    data = os.urandom(9 * MIB)
    body = {"name": token, "pool": pool, "size_bytes": len(data), "format": "raw"}
    body["sha256"] = hashlib.sha256(data).hexdigest()
    began = world.a.ok("POST", f"/kvm/images/uploads?project={world.a.project}", body)
    path = f"/kvm/images/uploads/{began['upload']['id']}"
    first = _send(world.a, f"{path}?offset=0", data[: 5 * MIB], "PATCH")
    assert first.status_code == 200 and first.json()["upload"]["offset"] == 5 * MIB, first.text
    world.b.refused(404, "NOT_FOUND", "GET", path)
    assert world.a.ok("GET", f"/kvm/images?pool={pool}")["total"] == 0, "nobody sees half of it"
    wrong = _send(world.a, f"{path}?offset=0", data, "PATCH")
    assert wrong.status_code == 409 and wrong.json()["error"]["details"]["offset"] == 5 * MIB
    more = _send(world.a, f"{path}?offset={5 * MIB}", bytes(5 * MIB), "PATCH")
    assert more.status_code == 413, "more than was announced"
    at = world.a.ok("GET", path)["offset"]
    last = _send(world.a, f"{path}?offset={at}", data[at:], "PATCH")
    assert last.status_code == 200, last.text
    operation = last.json()["operation"]["id"]
    until(lambda: world.a.ok("GET", f"/operations/{operation}")["state"] != "running", "it is checked", 30)
    ended = world.a.ok("GET", f"/operations/{operation}/wait?timeout=30")
    assert ended["state"] == "succeeded", ended
    assert (folder / "p" / token).read_bytes() == data
    assert _files(folder) == [token]
    world.a.refused(404, "NOT_FOUND", "GET", path)


def test_an_upload_that_is_given_up_or_damaged_leaves_nothing(
    world: World, pool: str, folder: Path, token: str
) -> None:
    start = f"/kvm/images/uploads?project={world.a.project}"
    body = {"name": token, "pool": pool, "size_bytes": MIB, "format": "raw", "sha256": "0" * 64}
    first = world.a.ok("POST", start, body)["upload"]["id"]
    assert len(_files(folder)) == 1
    world.a.ok("DELETE", f"/kvm/images/uploads/{first}")
    assert _files(folder) == []
    second = world.a.ok("POST", start, body)["upload"]["id"]
    sent = _send(world.a, f"/kvm/images/uploads/{second}?offset=0", bytes(MIB), "PATCH").json()
    ended = world.a.ok("GET", f"/operations/{sent['operation']['id']}/wait?timeout=30")
    assert ended["state"] == "failed" and "sha256" in ended["error"]["message"]
    until(lambda: _files(folder) == [], "nothing is left", 10)


def test_a_template_of_a_machine_stands_alone_and_holds_its_thin_copies(
    world: World, folder: Path, token: str
) -> None:
    machine, template = world.name("machine"), world.name("kvm_image")
    assert world.a.machine(machine, auto_start=False).status_code == 201
    body = {"name": template, "instance": machine}
    world.viewer.refused(403, "PERMISSION_DENIED", "POST", f"/kvm/images?project={world.a.project}", body)
    made = world.a.call("POST", f"/kvm/images?wait=60&project={world.a.project}", body)
    assert made.status_code == 201, made.text
    copy = world.name("machine")
    assert world.a.machine(copy, auto_start=False, image=template).status_code == 201
    until(lambda: world.a.ok("GET", f"/kvm/images/{template}")["in_use"], "its copy is seen", 10)
    seen = world.a.ok("GET", f"/kvm/images/{template}")
    assert copy in [user["name"] for user in seen["machines"]]
    error = world.a.refused(409, "IMAGE_IN_USE", "DELETE", f"/kvm/images/{template}")
    assert copy in error["message"], "it names what would break"
    volume = f"/storage/pools/default/volumes/{template}"
    assert world.a.call("DELETE", volume).status_code == 409, "nor by the other door"
    assert world.a.call("DELETE", f"/compute/instances/{copy}?force=true&wait=60").status_code == 200
    until(lambda: world.a.call("DELETE", f"/kvm/images/{template}").status_code == 200, "then it goes", 10)


def test_machines_are_made_from_what_their_project_may_read(
    world: World, pool: str, folder: Path, token: str
) -> None:
    """Another project's template is absent, and a raw disk stays one whatever its guest wrote into it."""
    template = world.name("kvm_image")
    assert _upload(world.a, "default", template, _made(folder, "qcow2")).status_code == 201
    foreign = world.b.machine(world.name("machine"), auto_start=False, image=template)
    assert foreign.status_code == 404 and foreign.json()["error"]["code"] == "IMAGE_NOT_FOUND", foreign.text
    path = f"/storage/pools/{pool}/volumes?project={world.a.project}"
    world.a.ok("POST", path, {"name": "evil", "capacity_bytes": 8 * MIB, "format": "raw"})
    with (folder / "p" / "evil").open("r+b") as file:
        file.write(_made(folder, "qcow2", "-b", "/etc/hostname", "-F", "raw"))
    world.admin.ok("PUT", f"/storage/pools/{pool}/refresh")
    name = world.name("machine")
    disk = {"pool": pool, "format": "qcow2"}
    made = world.a.machine(name, auto_start=False, disks=[{**disk, "volume": "evil"}])
    assert made.status_code == 201, made.text
    assert _format_in(name) == "raw", "what is known of the volume wins over what was asked for"
    detached = world.a.call("DELETE", f"/compute/instances/{name}/storage/vdb?wait=60")
    assert detached.status_code == 200, detached.text
    again = world.a.call("POST", f"/kvm/vms/{name}/disks?wait=60", {**disk, "source": "evil"})
    assert again.status_code in (200, 201), again.text
    assert _format_in(name) == "raw", "nor by the other door"


def _format_in(name: str) -> str:
    """As what QEMU will open the disk “evil”."""
    xml = subprocess.run(
        ["virsh", "-c", "qemu:///system", "dumpxml", name], capture_output=True, text=True, check=True
    ).stdout
    disk = xml[: xml.index("/p/evil")].rpartition("<driver")[2]
    return disk.split("type='")[1].split("'")[0]


@attack("S71", "an image by address, as an operator and from other servers", refused="403")
def test_addresses_are_fetched_by_administrators_from_allowed_servers_alone(world: World, pool: str) -> None:
    body = {"name": "libgo-t-url", "pool": pool, "url": "https://example.com/a.qcow2"}
    world.a.refused(403, "PERMISSION_DENIED", "POST", f"/kvm/images?project={world.a.project}", body)
    error = world.admin.refused(403, "POLICY_DENIED", "POST", "/kvm/images", body)
    assert error["details"]["rule"] == "libvirt.imageSources"
    both = {**body, "volume": f"{pool}/x"}
    world.admin.refused(400, "INVALID_INPUT", "POST", "/kvm/images", both)


ALLOWED = ["https://images.example.com/cloud/", "http://127.0.0.1:8099"]


@attack("S71", "addresses that only look like those of an allowed server", refused="refused")
@pytest.mark.parametrize(
    "url",
    [
        "https://images.example.com.evil.test/cloud/a",
        "https://images.example.com/cloudy/a",
        "https://images.example.com/cloud/../secret",
        "https://images.example.com/cloud/%2e%2e/secret",
        "http://images.example.com/cloud/a",
        "https://images.example.com:444/cloud/a",
        "https://user@images.example.com/cloud/a",
        "file:///etc/shadow",
        "http://169.254.169.254/latest",
        "http://127.0.0.1:8098/",
        "https://images.example.com\\@evil.test/cloud/a",
    ],
)
def test_no_trick_leads_to_another_address(url: str) -> None:
    with pytest.raises((PolicyDenied, InvalidInput)):
        url_require(url, ALLOWED)
    assert url_require("https://images.example.com/cloud/x/a.qcow2", ALLOWED).path == "/cloud/x/a.qcow2"
