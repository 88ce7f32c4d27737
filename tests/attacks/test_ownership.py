"""An operator of one project against another project's volumes, networks and containers."""

from __future__ import annotations

import json
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.attacks.catalogue import attack
from tests.people import Caller, World, member_make


@pytest.fixture(scope="module")
def newcomer(people: World) -> Caller:
    """An operator beside ``b`` who was refused nothing yet: the audit takes 20 refusals of one person in a
    minute, and counts the rest."""
    return member_make(people.admin, f"p-n-{uuid.uuid4().hex[:6]}", people.b.project, "operator")


@pytest.fixture
def theirs(world: World) -> dict[str, Any]:
    """A volume, a network and a running container of the project A."""
    at = f"?project={world.a.project}"
    labels = {"libgo.test": "live"}
    volume = world.a.ok("POST", f"/docker/volumes{at}", {"name": world.name("volume"), "labels": labels})
    network = world.a.ok("POST", f"/docker/networks{at}", {"name": world.name("network"), "labels": labels})
    name = world.name("container")
    secret = ["/bin/sh", "-c", "echo secret > /data/x; sleep 1000"]
    made = world.a.container(
        name, volumes=[f"{volume['name']}:/data"], network_mode=network["name"], command=secret
    )
    assert made.status_code == 201, made.text
    return {"volume": volume, "network": network, "container": made.json()["instance"]}


def _same_as_absent(caller: Caller, method: str, path: str, foreign: str, body: Any = None) -> None:
    """What belongs to others answers in every word as what is not there."""
    text = json.dumps(body) if body is not None else None
    there = caller.call(method, path.format(foreign), text and json.loads(text.replace("{}", foreign)))
    absent = "libgo-t-absent"
    gone = caller.call(method, path.format(absent), text and json.loads(text.replace("{}", absent)))
    assert there.status_code == gone.status_code == 404, f"{path}: {there.text} {gone.text}"
    assert there.text.replace(foreign, "") == gone.text.replace(absent, ""), path


@attack(
    "S28 S29",
    "foreign volumes, networks and containers by id, name, engine id and its beginning",
    refused="404, word for word as for what is not there",
)
def test_foreign_things_are_not_there_by_any_name(world: World, theirs: dict[str, Any]) -> None:
    network, volume, container = theirs["network"], theirs["volume"], theirs["container"]
    for key in (network["id"], network["name"], network["engine_id"], network["engine_id"][:12]):
        _same_as_absent(world.b, "GET", "/docker/networks/{}", key)
        _same_as_absent(world.b, "DELETE", "/docker/networks/{}", key)
        mine = {"container": container["id"]}
        for verb in ("connect", "disconnect"):
            _same_as_absent(world.b, "POST", f"/docker/networks/{{}}/{verb}", key, mine)
    for key in (volume["id"], volume["name"]):
        _same_as_absent(world.b, "GET", "/docker/volumes/{}", key)
        _same_as_absent(world.b, "DELETE", "/docker/volumes/{}?force=true", key)
    for key in (container["id"], container["name"], container["engine_id"]):
        assert world.b.call("GET", f"/compute/instances/{key}/networks").status_code == 404
    for path in ("/docker/networks", "/docker/volumes"):
        for query in ("page_size=500", f"q={network['name']}", f"q={volume['name']}", "in_use=true"):
            text = world.b.call("GET", f"{path}?{query}").text
            assert volume["name"] not in text and network["name"] not in text, query
            assert container["name"] not in text and world.a.project not in text, query
        assert world.b.ok("GET", f"{path}?project={world.a.project}")["total"] == 0


@attack(
    "S31 S38",
    "foreign volumes, networks and containers by reference in a create",
    refused="404 or 403; nothing is made",
)
def test_foreign_things_cannot_be_used_in_a_container(world: World, theirs: dict[str, Any]) -> None:
    network, volume, container = theirs["network"], theirs["volume"], theirs["container"]
    wishes = [
        ({"volumes": [f"{volume['name']}:/x"]}, "VOLUME_NOT_FOUND"),
        ({"volumes": [f"{volume['name']}:/x:ro"]}, "VOLUME_NOT_FOUND"),
        ({"network_mode": network["name"]}, "NETWORK_NOT_FOUND"),
        ({"network_mode": network["engine_id"]}, "NETWORK_NOT_FOUND"),
        ({"network_mode": network["engine_id"][:12]}, "NETWORK_NOT_FOUND"),
    ]
    for config, code in wishes:
        name = world.name("container")
        answer = world.b.container(name, **config)
        assert answer.status_code == 404 and answer.json()["error"]["code"] == code, answer.text
        assert subprocess.run(["docker", "inspect", name], capture_output=True, check=False).returncode
    for mode in (container["name"], container["id"], container["engine_id"], container["engine_id"][:12]):
        answer = world.b.container(world.name("container"), network_mode=f"container:{mode}")
        assert answer.status_code in (403, 404), answer.text
    for config in ({"volumes_from": [container["name"]]}, {"links": [f"{container['name']}:x"]}):
        answer = world.b.container(world.name("container"), **config)
        assert answer.status_code in (400, 403, 404), answer.text
    own = world.name("container")
    assert world.b.container(own).status_code == 201
    for key in (network["name"], network["engine_id"]):
        body = {"network": key}
        world.b.refused(404, "NETWORK_NOT_FOUND", "POST", f"/compute/instances/{own}/networks", body)


@attack("S31 S38", "the same by recreating and by stacks", refused="404, 403 or 400")
def test_no_other_door_reaches_them_either(world: World, theirs: dict[str, Any]) -> None:
    """Recreating one's own container, and a stack that calls foreign things external or its own."""
    network, volume, container = theirs["network"], theirs["volume"], theirs["container"]
    own = world.name("container")
    assert world.b.container(own).status_code == 201
    changes: list[dict[str, Any]] = [
        {"volumes": [f"{volume['name']}:/x"]},
        {"networks": [network["name"]]},
        {"network_mode": network["name"]},
        {"volumes_from": [container["name"]]},
        {"pid_mode": f"container:{container['engine_id']}"},
    ]
    for config in changes:
        answer = world.b.call("POST", f"/docker/containers/{own}/recreate?wait=60", {"config": config})
        assert answer.status_code in (403, 404), f"{config}: {answer.status_code} {answer.text}"
    for kind, name in (("volumes", volume["name"]), ("networks", network["name"])):
        use = "volumes: ['them:/x']" if kind == "volumes" else "networks: [them]"
        for how in ("external: true", f"driver: {'local' if kind == 'volumes' else 'bridge'}"):
            compose = f"services: {{web: {{image: 'libgo/demo:latest', {use}}}}}\n"
            compose += f"{kind}: {{them: {{name: {name}, {how}}}}}\n"
            body = {"name": own.replace("-", ""), "compose": compose, "project": world.b.project}
            answer = world.b.call("POST", "/docker/stacks?wait=60", body)
            assert answer.status_code in (400, 403, 404), f"{compose}: {answer.status_code} {answer.text}"
    assert world.b.ok("GET", f"/compute/instances/{own}")["state"] == "running"


@attack(
    "S40 S45",
    "volumes and networks with drivers and options that reach the host",
    refused="403 naming the rule; nothing is made",
    audit="a row with the result refused and POLICY_DENIED",
)
@pytest.mark.parametrize(
    ("path", "body", "rule"),
    [
        ("volumes", {"options": {"type": "none", "o": "bind", "device": "/"}}, "volume_options"),
        ("volumes", {"options": {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/x"}}, "volume_options"),
        ("volumes", {"options": {"o": "size=1m"}}, "volume_options"),
        ("volumes", {"driver": "vieux/sshfs"}, "volume_driver"),
        ("networks", {"driver": "macvlan"}, "network_driver"),
        ("networks", {"driver": "host"}, "network_driver"),
        ("networks", {"driver": "overlay"}, "network_driver"),
        ("networks", {"options": {"parent": "eth0"}}, "network_options"),
        ("networks", {"options": {"com.docker.network.bridge.name": "docker0"}}, "network_options"),
        ("networks", {"ipam": [{"subnet": "8.8.8.0/24"}]}, "network_subnet"),
        ("networks", {"ipam": [{"subnet": "10.0.0.0/8"}]}, "network_subnet"),
    ],
)
def test_what_reaches_the_host_is_for_administrators(
    world: World,
    newcomer: Caller,
    path: str,
    body: dict[str, Any],
    rule: str,
) -> None:
    name = world.name(path.removesuffix("s"))
    since = world.last_audit_row()
    error = newcomer.refused(
        403, "POLICY_DENIED", "POST", f"/docker/{path}?project={newcomer.project}", {"name": name, **body}
    )
    assert error["details"]["rule"] == rule
    words = ["docker", path.removesuffix("s"), "inspect", name]
    assert subprocess.run(words, capture_output=True, check=False).returncode, "nothing was made"
    told = world.admin.ok("GET", "/audit?page_size=50")["items"]
    assert (newcomer.username, "refused", "POLICY_DENIED") in {
        (r["user"], r["result"], r["code"]) for r in told if r["id"] > since
    }


@attack("S45", "pruning as an operator, also in a foreign project", refused="only one's own goes; 404")
def test_an_operator_prunes_only_its_own(world: World, theirs: dict[str, Any]) -> None:
    spare = world.a.ok("POST", f"/docker/volumes?project={world.a.project}", {"name": world.name("volume")})
    everything = {"all": True}
    assert world.b.ok("POST", f"/docker/volumes/prune?project={world.b.project}", everything)["removed"] == []
    for path in ("/docker/volumes/prune", "/docker/networks/prune"):
        world.b.refused(404, "NOT_FOUND", "POST", f"{path}?project={world.a.project}", {})
    assert world.a.ok("GET", f"/docker/volumes/{spare['name']}")["name"] == spare["name"]


@pytest.mark.parametrize("kind", ["volume", "network"])
def test_of_two_projects_that_make_one_name_at_once_exactly_one_wins(world: World, kind: str) -> None:
    for _ in range(3):
        name = world.name(kind)

        def make(caller: Caller, name: str = name) -> int:
            body = {"name": name, "labels": {"libgo.test": "live"}}
            return caller.call("POST", f"/docker/{kind}s?project={caller.project}", body).status_code

        with ThreadPoolExecutor(6) as threads:
            statuses = sorted(threads.map(make, [world.a, world.b] * 3))
        assert statuses == [201, 409, 409, 409, 409, 409]
        seen = [caller.call("GET", f"/docker/{kind}s/{name}").status_code for caller in (world.a, world.b)]
        assert sorted(seen) == [200, 404]


def test_of_two_projects_whose_containers_claim_one_volume_at_once_exactly_one_gets_it(world: World) -> None:
    for _ in range(3):
        volume = world.name("volume")
        names = {caller.project: world.name("container") for caller in (world.a, world.b)}

        def claim(caller: Caller, volume: str = volume, names: dict[str, str] = names) -> int:
            return caller.container(names[caller.project], volumes=[f"{volume}:/data"]).status_code

        with ThreadPoolExecutor(2) as threads:
            statuses = list(threads.map(claim, [world.a, world.b]))
        assert sorted(statuses) == [201, 404], statuses
        winner = (world.a, world.b)[statuses.index(201)]
        assert winner.ok("GET", f"/docker/volumes/{volume}")["project"]["name"] == winner.project
