"""Networks over the whole console and a real engine: made, joined, seen, left, removed."""

from __future__ import annotations

import json
import subprocess
import uuid
from typing import Any

import pytest

from tests.live import until
from tests.people import World

SUBNET = "10.213.7.0/24"


def _engine(name: str) -> dict[str, Any]:
    """What the engine itself says, by its own tool; empty when it has none of this name."""
    words = ["docker", "network", "inspect", "--format", "{{json .}}", name]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def _make(world: World, **body: Any) -> dict[str, Any]:
    wanted = {"name": world.name("network"), "labels": {"libgo.test": "live"}, **body}
    return world.a.ok("POST", f"/docker/networks?project={world.a.project}", wanted)


def test_a_network_is_made_as_asked_and_marked_from_birth(world: World) -> None:
    pool = {"subnet": SUBNET, "gateway": "10.213.7.1", "ip_range": "10.213.7.128/25"}
    made = _make(world, internal=True, ipam=[pool], options={"com.docker.network.driver.mtu": "1400"})
    assert made["project"]["name"] == world.a.project and made["operation"]["state"] == "succeeded"
    assert made["ipam"] == [pool] and made["internal"] and not made["in_use"] and made["containers"] == []
    seen = _engine(made["name"])
    assert seen["Labels"]["libgo.project"] == made["project"]["id"]
    assert seen["Labels"]["libgo.operation"] == made["operation"]["id"]
    assert seen["Options"]["com.docker.network.driver.mtu"] == "1400" and seen["Internal"]
    for key in (made["id"], made["name"], made["engine_id"], made["engine_id"][:12]):
        assert world.a.ok("GET", f"/docker/networks/{key}")["id"] == made["id"]


def test_the_list_searches_filters_and_says_who_is_on_it(world: World) -> None:
    made, name = _make(world), world.name("container")
    assert world.a.container(name, network_mode=made["name"]).status_code == 201
    path = f"/docker/networks?q={made['name']}"
    item = world.a.ok("GET", path)["items"][0]
    assert item["in_use"] and [user["name"] for user in item["containers"]] == [name]
    assert item["containers"][0]["ip_address"]
    assert world.a.ok("GET", f"{path}&in_use=true&driver=bridge&node=local-docker")["total"] == 1
    assert world.a.ok("GET", f"{path}&in_use=false")["total"] == 0
    assert world.viewer.ok("GET", path)["total"] == 1, "a viewer of the project sees it too"
    world.a.refused(400, "INVALID_INPUT", "GET", "/docker/networks?colour=red")
    world.a.refused(404, "NODE_NOT_FOUND", "GET", "/docker/networks?node=nowhere")


def test_a_container_is_connected_with_an_address_and_aliases_and_taken_off_again(world: World) -> None:
    made, name = _make(world, ipam=[{"subnet": SUBNET}]), world.name("container")
    assert world.a.container(name, network_mode="none").status_code == 201
    world.a.refused(
        409, "INVALID_STATE", "POST", f"/docker/networks/{made['id']}/connect", {"container": name}
    )
    world.admin.ok("DELETE", f"/compute/instances/{name}/networks/none?wait=60")
    body = {"container": name, "ip_address": "10.213.7.9", "aliases": ["db"]}
    joined = world.a.ok("POST", f"/docker/networks/{made['id']}/connect", body)
    assert joined["ip_address"] == "10.213.7.9" and joined["operation"]["action"] == "instance.network_attach"
    shown = world.a.ok("GET", f"/docker/networks/{made['name']}")
    assert shown["live"] and shown["containers"][0]["ip_address"] == "10.213.7.9"
    world.a.ok("POST", f"/docker/networks/{made['id']}/connect", body)
    other = {**body, "ip_address": "10.213.7.10"}
    world.a.refused(409, "INVALID_STATE", "POST", f"/docker/networks/{made['id']}/connect", other)
    error = world.a.refused(409, "NETWORK_IN_USE", "DELETE", f"/docker/networks/{made['id']}")
    assert error["details"]["containers"][0]["name"] == name and name in error["message"]
    world.a.ok("POST", f"/docker/networks/{made['id']}/disconnect", {"container": name, "force": True})
    assert world.a.ok("GET", f"/docker/networks/{made['id']}")["containers"] == []
    world.a.ok("DELETE", f"/docker/networks/{made['id']}")
    assert not _engine(made["name"])
    world.a.refused(404, "NETWORK_NOT_FOUND", "GET", f"/docker/networks/{made['id']}")


def test_the_unified_rows_do_the_same(world: World) -> None:
    made, name = _make(world), world.name("container")
    assert world.a.container(name).status_code == 201
    path = f"/compute/instances/{name}/networks"
    assert [item["network"] for item in world.a.ok("GET", path)["items"]] == ["bridge"]
    world.a.ok("POST", f"{path}?wait=60", {"network": made["name"]})
    assert {item["network"] for item in world.a.ok("GET", path)["items"]} == {"bridge", made["name"]}
    world.a.ok("DELETE", f"{path}/{made['name']}?wait=60")
    assert [item["network"] for item in world.a.ok("GET", path)["items"]] == ["bridge"]
    world.a.refused(404, "NOT_FOUND", "DELETE", f"{path}/{made['name']}")
    storage = f"/compute/instances/{name}/storage"
    assert world.a.ok("GET", storage)["items"] == []
    error = world.a.refused(422, "OPERATION_NOT_SUPPORTED", "POST", storage, {"source": "data"})
    assert "anew" in error["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "-x"}, "name"),
        ({"name": "host"}, "name"),
        ({"name": "0123456789ab"}, "name"),
        ({"ipam": [{"subnet": "10.213.7.1/24"}]}, "ipam.0.subnet"),
        ({"ipam": [{"subnet": SUBNET, "gateway": "10.9.9.9"}]}, "ipam.0.gateway"),
        ({"ipam": [{"subnet": SUBNET, "ip_range": "10.0.0.0/8"}]}, "ipam.0.ip_range"),
        ({"ipam": [{"subnet": SUBNET}, {"subnet": "10.213.7.128/25"}]}, "ipam.1.subnet"),
        ({"labels": {"libgo.project": str(uuid.uuid4())}}, "labels.libgo.project"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_said_by_field(world: World, body: dict[str, Any], field: str) -> None:
    wanted = {"name": world.name("network"), **body}
    path = f"/docker/networks?project={world.a.project}"
    error = world.a.refused(400, "INVALID_INPUT", "POST", path, wanted)
    assert field in error["details"]["fields"]


def test_an_overlapping_subnet_a_taken_name_and_an_address_outside_are_said(world: World) -> None:
    made = _make(world, ipam=[{"subnet": SUBNET}])
    path = f"/docker/networks?project={world.b.project}"
    world.b.refused(409, "NAME_CONFLICT", "POST", path, {"name": made["name"]})
    body = {"name": world.name("network"), "ipam": [{"subnet": SUBNET}]}
    error = world.b.refused(400, "INVALID_INPUT", "POST", path, body)
    assert "ipam" in error["details"]["fields"] and not _engine(body["name"]), "nothing half-made is left"
    name = world.name("container")
    world.a.container(name)
    join = {"container": name, "ip_address": "10.9.9.9"}
    error = world.a.refused(400, "INVALID_INPUT", "POST", f"/docker/networks/{made['id']}/connect", join)
    assert "ip_address" in error["details"]["fields"]


def test_pruning_says_first_what_goes_and_only_takes_the_projects_own(world: World) -> None:
    unused, used, foreign = _make(world), _make(world), world.name("network")
    world.b.ok("POST", f"/docker/networks?project={world.b.project}", {"name": foreign})
    assert world.a.container(world.name("container"), network_mode=used["name"]).status_code == 201
    path = f"/docker/networks/prune?project={world.a.project}"
    preview = world.a.ok("POST", path, {"dry_run": True})
    assert [item["name"] for item in preview["items"]] == [unused["name"]] and _engine(unused["name"])
    assert world.a.ok("POST", path, {})["removed"] == [unused["name"]]
    assert not _engine(unused["name"]) and _engine(used["name"]) and _engine(foreign)


def test_the_engines_own_networks_stay_and_are_the_administrators(world: World) -> None:
    world.a.refused(403, "PERMISSION_DENIED", "DELETE", "/docker/networks/bridge")
    world.admin.refused(409, "INVALID_STATE", "DELETE", "/docker/networks/bridge")


def test_one_made_outside_is_the_hosts_until_a_project_uses_it(world: World) -> None:
    name = world.name("network")
    subprocess.run(["docker", "network", "create", "--label", "libgo.test=live", name], check=True)
    until(lambda: world.a.ok("GET", f"/docker/networks?q={name}")["total"] == 1, "it is seen", 10)
    assert world.a.ok("GET", f"/docker/networks/{name}")["project"] is None
    world.a.refused(403, "PERMISSION_DENIED", "DELETE", f"/docker/networks/{name}")
    container = world.name("container")
    world.a.container(container)
    refused = {"network": name}
    world.a.refused(404, "NETWORK_NOT_FOUND", "POST", f"/compute/instances/{container}/networks", refused)
    world.admin.ok("POST", f"/compute/instances/{container}/networks?wait=60", refused)
    assert world.a.ok("GET", f"/docker/networks/{name}")["project"]["name"] == world.a.project
    assert world.b.call("GET", f"/docker/networks/{name}").status_code == 404


def test_a_viewer_changes_nothing(world: World) -> None:
    made = _make(world)
    where = f"?project={world.a.project}"
    world.viewer.refused(403, "PERMISSION_DENIED", "POST", f"/docker/networks{where}", {"name": "libgo-t-no"})
    world.viewer.refused(403, "PERMISSION_DENIED", "DELETE", f"/docker/networks/{made['id']}")
    world.viewer.refused(403, "PERMISSION_DENIED", "POST", f"/docker/networks/prune{where}", {})
