"""Who may do what with which container: roles, foreign projects, and what reaches the host."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.attacks.catalogue import attack
from tests.dockerapp.containers.test_api import BASE, DEMO, Person, _refused, _result, _shell, make, people
from tests.live import LiveConsole, until

__all__ = ["make", "people"]


def _outside(live: LiveConsole, **host: Any) -> Iterator[dict[str, Any]]:
    """A container that somebody made on the engine itself, once the console shows it."""
    engine = docker.APIClient(version="auto")
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    config = engine.create_host_config(network_mode="none", **host)
    made = engine.create_container(
        DEMO, ["sleep", "600"], name=name, host_config=config, labels={"libgo.test": "live"}
    )
    try:
        engine.start(made["Id"])
        until(lambda: (live.shown(name) or {}).get("state") == "running", f"{name} is shown", 10)
        yield live.shown(name) or {}
    finally:
        engine.remove_container(made["Id"], force=True)


@pytest.fixture(params=["bind", "pid"])
def reaching(request: pytest.FixtureRequest, live: LiveConsole) -> Iterator[dict[str, Any]]:
    hosts: dict[str, dict[str, Any]] = {
        "bind": {"binds": ["/etc:/host"]},
        "pid": {"pid_mode": "host"},
    }
    yield from _outside(live, **hosts[request.param])


@attack(
    "S23 S39",
    "entering a container that an administrator let reach the host",
    refused="403 on every door",
    audit="a row for each change that was asked for, with the result refused and POLICY_DENIED",
)
def test_an_operator_does_not_get_into_what_reaches_the_host(
    live: LiveConsole,
    people: dict[str, Person],  # noqa: F811
    reaching: dict[str, Any],
) -> None:
    one = f"{BASE}/{reaching['id']}"
    operator, before = people["operator"], live.get("/audit?page_size=1")["items"][0]["id"]
    assert operator.api("GET", one).status_code == 200
    exec_body = {"command": ["cat", "/host/shadow"]}
    for path, body in (
        (f"{one}/exec", exec_body),
        (f"/compute/instances/{reaching['id']}/exec", exec_body),
        (f"{one}/commit", {"repo": "default/x"}),
        (f"{one}/recreate", {"env": {"A": "1"}}),
        (f"{one}/update", {"resources": {"memory": {"limit": 64 * 1024**2}}}),
        (f"{one}/rename", {"name": "other"}),
        (f"/compute/instances/{reaching['id']}/snapshots", {"name": "x"}),
        (f"/compute/instances/{reaching['id']}/clone", {"name": "x"}),
    ):
        details = _refused(operator.api("POST", path, body), 403, "POLICY_DENIED")
        assert details["rule"] in ("host_path", "privileged", "host_pid"), path
    rows = [row for row in live.get("/audit?page_size=50")["items"] if row["id"] > before]
    assert [row["code"] for row in rows if row["result"] == "refused"] == ["POLICY_DENIED"] * 8
    _refused(operator.api("GET", f"{one}/changes"), 403, "POLICY_DENIED")
    assert _result(live.api("POST", f"{one}/exec", {"command": ["true"]}))["exit_code"] == 0


@attack(
    "S37 S39 S41",
    "the same on a whole console over a real engine, by create and recreate",
    refused="403; nothing is made",
    audit="rows with the result refused and POLICY_DENIED",
)
def test_an_operator_asks_for_nothing_that_is_as_good_as_root(
    people: dict[str, Person],  # noqa: F811
    make: Any,  # noqa: F811
) -> None:
    operator, own = people["operator"], make(command=_shell("sleep 600"))
    before = operator.console.get("/audit?page_size=1")["items"][0]["id"]
    for config, rule in (
        ({"privileged": True}, "privileged"),
        ({"network_mode": "host"}, "host_network"),
        ({"pid_mode": "host"}, "host_pid"),
        ({"ipc_mode": "host"}, "host_ipc"),
        ({"uts_mode": "host"}, "host_uts"),
        ({"userns_mode": "host"}, "host_user"),
        ({"cgroupns_mode": "host"}, "host_cgroup"),
        ({"volumes": ["/:/host"]}, "host_path"),
        ({"volumes_from": [own["name"]]}, "volumes_from"),
        ({"devices": ["/dev/fuse"]}, "devices"),
        ({"gpus": "all"}, "devices"),
        ({"device_cgroup_rules": ["c 1:3 rwm"]}, "devices"),
        ({"capabilities": {"add": ["all"]}}, "added_capabilities"),
        ({"security_opt": ["seccomp=unconfined"]}, "security_options"),
        ({"runtime": "other"}, "runtime"),
        ({"cgroup_parent": "/"}, "cgroup_parent"),
        ({"sysctls": {"net.ipv4.ip_forward": "1"}}, "sysctls"),
        ({"ulimits": {"nofile": 10**6}}, "ulimits"),
        ({"oom_score_adj": -1000}, "oom"),
        ({"pids_limit": -1}, "no_limit"),
        ({"log_driver": "syslog"}, "log_driver"),
    ):
        body = {"name": f"libgo-t-{uuid.uuid4().hex[:6]}", "image": DEMO, **config}
        assert _refused(operator.api("POST", BASE, body), 403, "POLICY_DENIED")["rule"] == rule
        answer = operator.api("POST", f"{BASE}/{own['id']}/recreate", config)
        assert _refused(answer, 403, "POLICY_DENIED")["rule"] == rule
    rows = [row for row in operator.console.get("/audit?page_size=100")["items"] if row["id"] > before]
    told = {row["action"] for row in rows if (row["result"], row["code"]) == ("refused", "POLICY_DENIED")}
    assert told == {"POST docker/containers", "POST docker/containers/<container_id>/recreate"}, told


def test_a_viewer_reads_and_a_stranger_sees_nothing(
    live: LiveConsole,
    people: dict[str, Person],  # noqa: F811
    make: Any,  # noqa: F811
) -> None:
    health = {"test": "echo canary", "interval": 1}
    made = make(command=_shell("sleep 600"), health_check=health)
    one, viewer, stranger = f"{BASE}/{made['id']}", people["viewer"], people["stranger"]
    until(lambda: live.get(one)["health_check"]["log"], "it was checked once", 15)
    assert "canary" in live.get(one)["health_check"]["log"][0]["output"]
    assert viewer.api("GET", one).json()["health_check"]["log"][0]["output"] == "********"
    assert viewer.api("GET", f"{one}/stats").status_code == 200
    bodies: dict[str, Any] = {
        "exec": {"command": ["ls"]},
        "rename": {"name": "x"},
        "commit": {"repo": "x/y"},
        "resize": {"height": 1, "width": 1},
        "update": {"resources": {"memory": {"limit": 64 * 1024**2}}},
    }
    for verb in "start stop restart pause kill exec rename commit resize update recreate".split():
        _refused(viewer.api("POST", f"{one}/{verb}", bodies.get(verb, {})), 403, "PERMISSION_DENIED")
    for read in ("top", "changes", "logs"):
        _refused(viewer.api("GET", f"{one}/{read}"), 403, "PERMISSION_DENIED")
    _refused(viewer.api("DELETE", one), 403, "PERMISSION_DENIED")
    _refused(viewer.api("POST", f"{BASE}/prune", {}), 403, "PERMISSION_DENIED")
    _refused(viewer.api("POST", BASE, {"name": "x", "image": DEMO}), 403, "PERMISSION_DENIED")
    absent = stranger.api("GET", f"{BASE}/{uuid.uuid4()}").json()["error"]
    for name in (made["id"], made["name"], made["engine_id"], made["engine_id"][:12]):
        foreign = f"{BASE}/{name}"
        assert stranger.api("GET", foreign).json()["error"]["code"] == absent["code"]
        for verb in (*bodies, "start", "kill", "wait", "recreate"):
            answer = stranger.api("POST", f"{foreign}/{verb}", bodies.get(verb, {}))
            _refused(answer, 404, "CONTAINER_NOT_FOUND")
        _refused(stranger.api("DELETE", foreign), 404, "CONTAINER_NOT_FOUND")
    seen = stranger.api("GET", f'{BASE}?all=true&filters={{"name":["{made["name"]}"]}}').json()
    assert seen["items"] == []
    for key in ("before", "since"):
        answer = stranger.api("GET", f'{BASE}?filters={{"{key}":["{made["name"]}"]}}')
        _refused(answer, 404, "CONTAINER_NOT_FOUND")


def test_an_operator_commits_only_in_the_name_space_of_the_project(
    people: dict[str, Person],  # noqa: F811
    make: Any,  # noqa: F811
) -> None:
    one = f"{BASE}/{make()['id']}/commit"
    for repo in ("nginx", "other/x", "libgo-snapshots/x", "registry.test/other/x"):
        details = _refused(people["operator"].api("POST", one, {"repo": repo}), 403, "POLICY_DENIED")
        assert details["rule"] == "image_name_space"


def test_a_snapshot_brings_the_files_back_and_is_nobody_else_s(
    live: LiveConsole,
    people: dict[str, Person],  # noqa: F811
    make: Any,  # noqa: F811
) -> None:
    made = make(command=_shell("sleep 600"), env={"A": "1"})
    one, snapshots = f"{BASE}/{made['id']}", f"/compute/instances/{made['id']}/snapshots"

    def run(script: str) -> str:
        return str(_result(live.api("POST", f"{one}/exec", {"command": _shell(script)}))["stdout"])

    run("echo before > /state")
    words = 'a “quoted" $HOME\n'
    _result(live.api("POST", f"{snapshots}?wait=60", {"name": "s1", "description": words}), 201)
    listed = live.get(snapshots)["items"]
    assert [(item["name"], item["description"]) for item in listed] == [("s1", words.strip())]
    _refused(live.api("POST", f"{snapshots}?wait=60", {"name": "s1"}), 409, "NAME_CONFLICT")
    run("echo after > /state; touch /new")
    done = _result(live.api("PUT", f"{snapshots}/s1/restore?wait=60"))
    assert done["instance"]["id"] == made["id"] and done["instance"]["state"] == "running"
    assert run("cat /state; ls /new 2>/dev/null; echo $A") == "before\n1\n"
    image = done["instance"]["image"]
    stranger = people["stranger"]
    body = {"name": f"libgo-t-{uuid.uuid4().hex[:6]}", "image": image, "pull": "never"}
    until(lambda: stranger.api("POST", BASE, body).status_code == 404, "the image is foreign", 10)
    _refused(stranger.api("GET", snapshots), 404, "INSTANCE_NOT_FOUND")
    _refused(live.api("DELETE", f"{snapshots}/s1?wait=60"), 409, "IMAGE_IN_USE")
    live.api("DELETE", f"{one}?force=true&volumes=true&wait=60")
    tags = docker.APIClient(version="auto").images(filters={"label": f"libgo.snapshot={made['id']}"})
    assert tags == []


def test_a_clone_runs_beside_it_with_volumes_of_its_own(live: LiveConsole, make: Any) -> None:  # noqa: F811
    made = make(command=_shell("sleep 600"), volumes=["/data"], ports=["80/tcp"], env={"A_TOKEN": "canary"})
    name = f"{made['name']}-2"
    answer = live.api("POST", f"/compute/instances/{made['id']}/clone?wait=60", {"name": name})
    try:
        clone = _result(answer, 201)["instance"]
        first, second = live.get(f"{BASE}/{made['id']}"), live.get(f"{BASE}/{name}")
        assert clone["state"] == "running" and second["config"]["command"] == first["config"]["command"]
        seen = _result(live.api("POST", f"{BASE}/{name}/exec", {"command": _shell("echo $A_TOKEN")}))
        assert seen["stdout"] == "canary\n"
    finally:
        live.api("DELETE", f"{BASE}/{name}?force=true&volumes=true&wait=60")
