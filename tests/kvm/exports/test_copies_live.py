"""Exports, imports, clones and the older routes over a whole console."""

from __future__ import annotations

import hashlib
from pathlib import Path

import requests

from tests.attacks.catalogue import attack
from tests.live import until
from tests.people import Caller, World


def _import(caller: Caller, data: bytes, **query: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {caller.token}", "Content-Type": "application/octet-stream"}
    url = f"{caller.live.url}/api/v1/compute/instances/import"
    return requests.post(url, params={"wait": "60", **query}, data=data, headers=headers, timeout=90)


def _download(caller: Caller, path: str, **headers: str) -> requests.Response:
    return caller.call("GET", path, **headers)


def test_a_machine_goes_out_as_a_file_and_comes_back_as_another(world: World) -> None:
    a, name, again = world.a, world.name("machine"), world.name("machine")
    assert a.machine(name, auto_start=False).status_code == 201
    done = a.ok("POST", f"/compute/instances/{name}/export?wait=60", {"format": "ova"})["operation"]
    export = done["result"]["export"]
    got = _download(a, f"/exports/{export}/download")
    assert (
        hashlib.sha256(got.content).hexdigest()
        == got.headers["X-Checksum-SHA256"]
        == done["result"]["sha256"]
    )
    part = _download(a, f"/exports/{export}/download", Range="bytes=100-299")
    assert (part.status_code, part.content) == (206, got.content[100:300])
    world.viewer.refused(403, "PERMISSION_DENIED", "GET", f"/exports/{export}/download")
    world.b.refused(404, "NOT_FOUND", "GET", f"/exports/{export}")
    assert [job["status"] for job in a.ok("GET", "/exports")["jobs"] if job["id"] == export] == ["completed"]

    made = _import(
        a, got.content, name=again, project=a.project, network="none", sha256=done["result"]["sha256"]
    )
    assert made.status_code == 201, made.text
    shown = made.json()["instance"]
    assert (shown["resources"]["memory"]["limit"], shown["config"]["disk"]["bus"]) == (
        192 * 1024**2,
        "virtio",
    )
    assert not list((Path(a.live.var) / "imports").iterdir()), "nothing is left of the upload"
    assert a.ok("DELETE", f"/exports/{export}")["message"]
    a.refused(404, "NOT_FOUND", "GET", f"/exports/{export}")
    assert not (Path(a.live.var) / "exports" / export).exists()


@attack(
    "S54 S58",
    "broken and wrongly called images, and a name with /, as an import on a real host",
    refused="refused; nothing is left",
)
def test_files_that_are_not_taken_leave_nothing(world: World) -> None:
    a, name = world.a, world.name("machine")
    for data, query, words in (
        (b"no image" * 100, {"name": name}, "format=raw"),
        (b"QFI\xfb" + bytes(60), {"name": name}, "qcow2"),
        (b"x" * 2048, {"name": name, "format": "ova"}, "no tar"),
        (b"x" * 2048, {"name": name, "format": "raw", "sha256": "0" * 64}, "damaged"),
        (b"x", {"name": "a/b"}, "name"),
        (b"x", {"name": name, "format": "zip"}, "format"),
    ):
        answer = _import(a, data, project=a.project, **query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_INPUT"), answer.text
        assert words in answer.text
    assert _import(world.viewer, b"x", name=name, project=a.project).status_code == 403
    assert not a.live.shown(name) and not list((Path(a.live.var) / "imports").iterdir())


def test_clones_have_what_the_first_had_and_an_identity_of_their_own(world: World) -> None:
    a, name = world.a, world.name("machine")
    full, linked = world.name("machine"), world.name("machine")
    first = a.machine(name, auto_start=False).json()["instance"]
    path = f"/compute/instances/{name}/clone?wait=60"
    for wanted, is_linked in ((full, False), (linked, True)):
        made = a.ok("POST", path, {"name": wanted, "linked": is_linked, "auto_start": False})["instance"]
        assert made["uuid"] != first["uuid"] and made["resources"] == first["resources"]
    again = {"name": world.name("machine"), "linked": True, "auto_start": False}
    a.refused(409, "INVALID_STATE", "POST", f"/compute/instances/{full}/clone?wait=60", again)
    until(lambda: not a.live.shown(again["name"]), "the refused clone is gone", 10)
    world.viewer.refused(403, "PERMISSION_DENIED", "POST", path, again)


def test_snapshots_and_exports_as_older_clients_know_them(world: World) -> None:
    a, name = world.a, world.name("machine")
    assert a.machine(name, auto_start=False).status_code == 201
    body = {"name": "s1", "description": "d", "include_memory": False, "quiesce": False}
    made = a.call("POST", f"/vms/{name}/snapshots", body)
    assert made.status_code == 201
    keys = {"name", "description", "state", "parent", "created_at", "is_current"}
    keys |= {"has_metadata", "has_memory", "has_disk"}
    assert set(made.json()) == {"snapshot"} and set(made.json()["snapshot"]) == keys
    listed = a.ok("GET", f"/vms/{name}/snapshots")
    assert (listed["count"], listed["snapshots"][0]["name"]) == (1, "s1")
    assert set(a.ok("PUT", f"/vms/{name}/snapshots/s1/revert")) == {"success", "message"}
    a.refused(409, "NAME_CONFLICT", "POST", f"/vms/{name}/snapshots", body)
    assert a.ok("DELETE", f"/vms/{name}/snapshots/s1")["success"] is True
    a.refused(404, "SNAPSHOT_NOT_FOUND", "GET", f"/vms/{name}/snapshots/s1")
    a.refused(404, "INSTANCE_NOT_FOUND", "GET", "/vms/libgo-t-absent/snapshots")
    a.refused(400, "INVALID_INPUT", "POST", f"/vms/{name}/export", {"format": "zip"})
    job = a.call("POST", f"/vms/{name}/export", {"format": "qcow2", "options": {}, "fileName": "x"})
    assert job.status_code == 202
    known = {
        "id",
        "vmName",
        "format",
        "status",
        "progress",
        "startTime",
        "endTime",
        "outputPath",
        "error",
        "options",
    }
    assert known <= set(job.json()["job"])
    path = f"/exports/{job.json()['job']['id']}"
    until(lambda: a.ok("GET", path)["job"]["status"] == "completed", "the export is done", 60)
    a.ok("DELETE", path)
