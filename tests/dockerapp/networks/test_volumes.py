"""Volumes over the whole console and a real engine: made, used, measured, removed, and whose they are."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.live import until
from tests.people import World


def _engine(name: str) -> dict[str, Any]:
    """What the engine itself says, by its own tool; empty when it has none of this name."""
    words = ["docker", "volume", "inspect", "--format", "{{json .}}", name]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def _make(world: World, **body: Any) -> dict[str, Any]:
    wanted = {"name": world.name("volume"), "labels": {"libgo.test": "live"}, **body}
    return world.a.ok("POST", f"/docker/volumes?project={world.a.project}", wanted)


def test_a_volume_is_made_marked_used_and_removed(world: World) -> None:
    made, name = _make(world), world.name("container")
    assert made["project"]["name"] == world.a.project and not made["in_use"]
    assert _engine(made["name"])["Labels"]["libgo.operation"] == made["operation"]["id"]
    assert world.a.container(name, volumes=[f"{made['name']}:/data"]).status_code == 201
    shown = world.a.ok("GET", f"/docker/volumes/{made['name']}")
    assert [(user["name"], user["target"]) for user in shown["containers"]] == [(name, "/data")]
    error = world.a.refused(409, "VOLUME_IN_USE", "DELETE", f"/docker/volumes/{made['name']}?force=true")
    assert error["details"]["containers"][0]["name"] == name
    world.a.ok("DELETE", f"/compute/instances/{name}?force=true&wait=60")
    path = f"/docker/volumes/{made['name']}"
    # The mirror may have read the container once more while it went.
    until(lambda: world.a.call("DELETE", path).status_code == 200, "nobody uses it any more", 5)
    assert not _engine(made["name"])
    world.a.refused(404, "VOLUME_NOT_FOUND", "GET", f"/docker/volumes/{made['name']}")


def test_sizes_are_measured_when_asked_for_and_then_remembered(world: World) -> None:
    made, name = _make(world), world.name("container")
    write = ["/bin/sh", "-c", "dd if=/dev/zero of=/data/x bs=1024 count=512; sleep 1000"]
    assert world.a.container(name, volumes=[f"{made['name']}:/data"], command=write).status_code == 201
    path = f"/docker/volumes?q={made['name']}"
    assert world.a.ok("GET", path)["items"][0]["size_bytes"] is None

    def measured() -> int:
        answer = world.a.ok("GET", f"{path}&sizes=true")
        return int(answer["items"][0]["size_bytes"] or 0)

    until(lambda: measured() >= 512 * 1024, "the engine measured it", 15)
    assert world.a.ok("GET", path)["items"][0]["size_bytes"] >= 512 * 1024


def test_one_without_a_name_gets_one_and_a_taken_name_is_refused_whosever_it_is(world: World) -> None:
    nameless = world.a.ok("POST", f"/docker/volumes?project={world.a.project}", {})
    world.made.append(("volume", nameless["name"]))
    assert nameless["anonymous"] and len(nameless["name"]) == 64
    taken = {"name": _make(world)["name"]}
    error = world.b.refused(409, "NAME_CONFLICT", "POST", f"/docker/volumes?project={world.b.project}", taken)
    assert world.a.project not in error["message"]


def test_a_named_volume_that_a_container_asks_for_is_made_marked_and_taken_back_when_it_fails(
    world: World,
) -> None:
    volume, name = world.name("volume"), world.name("container")
    assert world.a.container(name, volumes=[f"{volume}:/data"]).status_code == 201
    path = f"/docker/volumes/{volume}"
    until(lambda: world.a.call("GET", path).status_code == 200, "the mirror has what came with it", 5)
    assert world.a.ok("GET", path)["project"]["name"] == world.a.project
    assert _engine(volume)["Labels"]["libgo.project"]
    other = world.name("volume")
    failed = world.a.container(world.name("container"), volumes=[f"{other}:/data"], command=["/nope"])
    assert failed.status_code == 400, failed.text
    assert not _engine(other), "what was made for it is taken back"


def test_an_anonymous_volume_is_the_project_s_whose_container_made_it(world: World) -> None:
    image = f"libgo-t-{world.a.project}"
    text = b"FROM libgo/demo:latest\nLABEL libgo.test=live\nVOLUME /data\n"
    subprocess.run(["docker", "build", "-q", "-t", image, "-"], input=text, check=True, capture_output=True)
    try:
        name = world.name("container")
        assert world.a.container(name, image=image, pull="never").status_code == 201
        used = world.a.ok("GET", f"/compute/instances/{name}/storage")["items"][0]["source"]
        until(lambda: world.a.ok("GET", f"/docker/volumes?q={used}")["total"] == 1, "it is seen", 10)
        shown = world.a.ok("GET", f"/docker/volumes/{used}")
        assert shown["anonymous"] and shown["project"]["name"] == world.a.project
        world.b.refused(404, "VOLUME_NOT_FOUND", "GET", f"/docker/volumes/{used}")
        world.a.ok("DELETE", f"/compute/instances/{name}?force=true&keep_storage=true&wait=60")
        assert world.a.ok("GET", f"/docker/volumes/{used}")["project"]["name"] == world.a.project
        path = f"/docker/volumes/prune?project={world.a.project}"
        assert [item["name"] for item in world.a.ok("POST", path, {"dry_run": True})["items"]] == [used]
        assert world.a.ok("POST", path, {})["removed"] == [used] and not _engine(used)
    finally:
        subprocess.run(["docker", "image", "rm", "-f", image], check=False, capture_output=True)


def test_pruning_spares_named_ones_unless_all_is_asked_for(world: World) -> None:
    made, foreign = _make(world), world.name("volume")
    world.b.ok("POST", f"/docker/volumes?project={world.b.project}", {"name": foreign})
    path = f"/docker/volumes/prune?project={world.a.project}"
    assert world.a.ok("POST", path, {})["removed"] == []
    preview = world.a.ok("POST", path, {"dry_run": True, "all": True})
    assert [item["name"] for item in preview["items"]] == [made["name"]]
    assert world.a.ok("POST", path, {"all": True})["removed"] == [made["name"]]
    assert not _engine(made["name"]) and _engine(foreign)


def test_what_the_options_hold_in_secret_is_never_shown(world: World) -> None:
    name = world.name("volume")
    options = {"type": "cifs", "device": "//10.0.0.7/x", "o": "username=u,password=canary-77,vers=3.0"}
    made = world.admin.ok("POST", "/docker/volumes", {"name": name, "options": options})
    assert made["options"]["o"] == "username=u,password=********,vers=3.0"
    assert _engine(name)["Options"]["o"] == options["o"], "the engine has it whole"
    assert world.admin.ok("GET", "/docker/volumes?q=canary-77")["total"] == 0
    operation = world.admin.call("GET", f"/operations/{made['operation']['id']}").text
    assert "canary-77" not in operation


@pytest.mark.parametrize("name", ["x", "-x", "../x", "a/b", "0" * 64, "x" * 129])
def test_a_name_that_cannot_be_is_refused(world: World, name: str) -> None:
    path = f"/docker/volumes?project={world.a.project}"
    error = world.a.refused(400, "INVALID_INPUT", "POST", path, {"name": name})
    assert "name" in error["details"]["fields"]


def test_a_viewer_changes_nothing(world: World) -> None:
    made, where = _make(world), f"?project={world.a.project}"
    world.viewer.refused(403, "PERMISSION_DENIED", "POST", f"/docker/volumes{where}", {})
    world.viewer.refused(403, "PERMISSION_DENIED", "DELETE", f"/docker/volumes/{made['name']}")
    world.viewer.refused(403, "PERMISSION_DENIED", "POST", f"/docker/volumes/prune{where}", {})
    assert world.viewer.ok("GET", f"/docker/volumes/{made['name']}")["name"] == made["name"]


@pytest.mark.parametrize("kind", ["volume", "network"])
def test_a_driver_that_the_engine_lacks_is_said(world: World, kind: str) -> None:
    body = {"name": world.name(kind), "driver": "libgo-absent"}
    error = world.admin.refused(400, "INVALID_INPUT", "POST", f"/docker/{kind}s", body)
    assert "driver" in error["details"]["fields"]
