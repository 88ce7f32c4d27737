"""A container and a machine as templates, each instantiated twice, on the real engines."""

from __future__ import annotations

import pytest
from docker import DockerClient

from tests.people import World

_MIB = 1024**2


def _instantiated(world: World, template: str, kind: str, **more: object) -> list[dict[str, object]]:
    name = world.name(kind)
    world.made.remove((kind, name))
    world.made += [(kind, f"{name}-{n}") for n in (1, 2)]
    given = {"name": name, "count": 2, **more}
    done = world.a.call("POST", f"/compute/templates/{template}/instantiate?wait=60", given)
    assert done.status_code in (200, 201), done.text
    operation = done.json()["operation"]
    assert operation["state"] == "succeeded" and len(operation["children"]) == 2
    return [world.a.ok("GET", f"/compute/instances/{name}-{n}") for n in (1, 2)]


def test_of_a_container(world: World) -> None:
    source = world.name("container")
    made = world.a.container(source, env={"MODE": "fast", "DB_PASSWORD": "first"}, command=["sleep", "600"])
    assert made.status_code == 201, made.text
    given = {"name": f"t-{source}", "instance": source}
    template = world.a.ok("POST", "/compute/templates", given)
    assert "first" not in str(template["body"])
    rows = _instantiated(world, template["id"], "container", parameters={"secret_1": "second"})
    assert [row["state"] for row in rows] == ["running", "running"]
    client = DockerClient.from_env()
    try:
        env = client.containers.get(str(rows[1]["engine_id"])).attrs["Config"]["Env"]
    finally:
        client.close()
    assert {"MODE=fast", "DB_PASSWORD=second"} <= set(env)
    world.b.refused(404, "NOT_FOUND", "GET", f"/compute/templates/{template['id']}")
    assert world.a.call("DELETE", f"/compute/templates/{template['id']}").status_code == 204


@pytest.mark.parametrize("by_hand", [True, False], ids=["by_hand", "from_one"])
def test_of_a_machine(world: World, by_hand: bool) -> None:
    if by_hand:
        text = "#cloud-config\nhostname: ${host}\n"
        config = {"image": "libgo-demo", "network": "none", "cloud_init": {"user_data": text}}
        body = {"config": config, "resources": {"memory": {"limit": "${memory}"}}, "auto_start": False}
        parameters = [{"name": "memory", "type": "size", "default": "192MiB"}, {"name": "host"}]
        given = {"name": world.name("machine"), "backend": "kvm", "body": body, "parameters": parameters}
        wanted = {"host": 'x"\nruncmd: [reboot]'.replace("\n", " ")}
    else:
        source = world.name("machine")
        made = world.a.machine(source, auto_start=False)
        assert made.status_code == 201, made.text
        given, wanted = {"name": f"t-{source}", "instance": source}, {}
    template = world.a.ok("POST", "/compute/templates", {**given, "project": world.a.project})
    rows = _instantiated(world, template["id"], "machine", parameters=wanted, auto_start=False)
    for row in rows:
        resources = row["resources"]
        assert isinstance(resources, dict)
        assert resources["memory"]["limit"] == 192 * _MIB
        assert row["image"] == "libgo-demo"
