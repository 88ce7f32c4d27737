"""Stacks on the real engine, through a whole console: up, out, again, down; and what goes wrong."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets.sync.client

from dockerapp.engine.compose_tool import compose_tool
from tests.dockerapp.stacks.conftest import three
from tests.live import PASSWORD, LiveConsole, until

Left = list[list[str]]


def left_over(name: str) -> Left:
    """Containers, networks and volumes that Compose would call the stack's."""
    kinds = (["ps", "-aq"], ["network", "ls", "-q"], ["volume", "ls", "-q"])
    label = ["--filter", f"label=com.docker.compose.project={name}"]
    found = [subprocess.run(["docker", *kind, *label], check=True, capture_output=True) for kind in kinds]
    return [done.stdout.decode().split() for done in found]


@pytest.fixture
def stack(live: LiveConsole) -> Iterator[str]:
    """A name; whatever is called so is gone afterwards."""
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    yield name
    live.api("DELETE", f"/docker/stacks/{name}?volumes=true&wait=60")
    assert left_over(name) == [[], [], []]


def services(live: LiveConsole, name: str) -> dict[str, tuple[str, int]]:
    found = live.get(f"/docker/stacks/{name}")["services"]
    return {service["name"]: (service["state"], service["running"]) for service in found}


def created(name: str) -> set[str]:
    return set(left_over(name)[0])


def test_three_services_go_up_scale_survive_a_redeploy_and_come_down_clean(
    live: LiveConsole, run_id: str, stack: str
) -> None:
    body = {"name": stack, "compose": three(run_id), "env": {"GREETING": "it's $1", "DB_PASSWORD": "canary"}}
    verdict = live.api("POST", "/docker/stacks/validate", body).json()
    assert verdict["valid"] and [item["replicas"] for item in verdict["services"]] == [1, 1, 2]
    made = live.api("POST", "/docker/stacks?wait=60", body, **{"Idempotency-Key": stack})
    assert made.status_code == 201, made.text
    again = live.api("POST", "/docker/stacks", body, **{"Idempotency-Key": stack}).json()
    assert again["operation"]["id"] == made.json()["operation"]["id"]
    up = {"web": ("running", 2), "db": ("running", 1), "side": ("running", 1)}
    assert services(live, stack) == up
    log = live.get(f"/operations/{made.json()['operation']['id']}/log")["items"]
    lines = [item["line"] for item in log]
    healthy = lines.index(f"Container {stack}-db-1 Healthy")
    assert healthy < lines.index(f"Container {stack}-web-1 Starting"), "web waited until db was well"
    _belongs_and_is_one_list(live, stack)

    scaled = live.api("POST", f"/docker/stacks/{stack}/scale?wait=60", {"service": "web", "replicas": 3})
    assert scaled.status_code == 200, scaled.text
    assert services(live, stack) == {**up, "web": ("running", 3)}
    before = created(stack)
    redone = live.api("POST", f"/docker/stacks/{stack}/redeploy?wait=60", {})
    assert redone.status_code == 200, redone.text
    assert created(stack) == before, "what does not differ goes on, and the scale stays"
    changed = three(run_id).replace("GREETING: ", "HELLO: ")
    assert live.api("PUT", f"/docker/stacks/{stack}?wait=60", {"compose": changed}).status_code == 200
    assert services(live, stack) == up
    assert len(created(stack) & before) == 2, "only web was made anew"

    for verb, state in (("stop", "stopped"), ("start", "running"), ("restart", "running")):
        done = live.api("PUT", f"/docker/stacks/{stack}/{verb}?wait=60")
        assert done.status_code == 200, done.text
        assert live.get(f"/docker/stacks/{stack}")["state"] == state
    assert live.api("POST", f"/docker/stacks/{stack}/stop?service=side&wait=60").status_code == 200
    assert services(live, stack) == {**up, "side": ("stopped", 0)}
    kept = live.api("DELETE", f"/docker/stacks/{stack}?wait=60")
    assert kept.status_code == 200, kept.text
    assert left_over(stack) == [[], [], [f"{stack}_data"]], "data stays unless asked"
    assert live.api("GET", f"/docker/stacks/{stack}").status_code == 404
    assert live.api("POST", "/docker/stacks?wait=60", body).status_code == 201, "and is found again"
    assert live.api("DELETE", f"/docker/stacks/{stack}?wait=60&volumes=true").status_code == 200
    assert left_over(stack) == [[], [], []]


def _belongs_and_is_one_list(live: LiveConsole, stack: str) -> None:
    found = live.get(f"/compute/instances?label=com.docker.compose.project={stack}")
    assert found["total"] == 4 and all(row["managed"] for row in found["instances"])
    asked = live.get(f"/docker/stacks/{stack}")
    assert asked["env"] == {"GREETING": "it's $1", "DB_PASSWORD": "********"}
    web = next(service for service in asked["services"] if service["name"] == "web")
    inside = live.get(f"/compute/instances/{web['instances'][0]['id']}")
    assert inside["config"]["env"]["GREETING"] == "it's $1"
    project = _project_of(live, "volume", f"{stack}_data")
    assert project == asked["project"], "volumes and networks belong to the project too"


def _project_of(live: LiveConsole, kind: str, name: str) -> Any:
    return live.get(f"/docker/{kind}s/{name}")["project"]


def test_the_logs_of_all_are_one(live: LiveConsole, run_id: str, stack: str) -> None:
    body = {"name": stack, "compose": three(run_id)}
    assert live.api("POST", "/docker/stacks?wait=60", body).status_code == 201
    read = live.get(f"/docker/stacks/{stack}/logs?timestamps=true")
    assert {line["service"] for line in read["lines"]} == {"web", "db", "side"}
    times = [line["timestamp"] for line in read["lines"]]
    assert times == sorted(times) and f"{stack}-side-1 | side is up" in read["text"]
    node = live.get(f"/docker/stacks/{stack}")["node"]["name"]
    address = f"{live.url.replace('http', 'ws')}/ws/v1/stacks/{node}/{stack}/logs"
    protocols = [websockets.Subprotocol(f"bearer.{live.log_in()}")]
    heard: set[str] = set()
    with websockets.sync.client.connect(address, subprotocols=protocols, origin=None) as socket:
        while not {"db", "side", "web"} <= heard:
            message = json.loads(socket.recv(timeout=15))
            heard |= {line["service"] for line in message["data"].get("lines", [])}
        grown = live.api("POST", f"/docker/stacks/{stack}/scale?wait=60", {"service": "side", "replicas": 2})
        assert grown.status_code == 200, grown.text
        names: set[str] = set()
        while f"{stack}-side-2" not in names:
            message = json.loads(socket.recv(timeout=15))
            names |= {line["name"] for line in message["data"].get("lines", [])}


def test_a_first_deployment_that_is_cancelled_or_fails_leaves_nothing(
    live: LiveConsole, run_id: str, stack: str
) -> None:
    asked = live.api("POST", "/docker/stacks", {"name": stack, "compose": three(run_id, test="false")})
    operation = asked.json()["operation"]["id"]
    until(lambda: "db-1 Waiting" in str(live.get(f"/operations/{operation}/log")), "half of it is up", 40)
    assert len(created(stack)) == 4
    assert live.api("DELETE", f"/operations/{operation}").status_code == 200
    assert live.get(f"/operations/{operation}/wait?timeout=30")["state"] == "cancelled"
    assert left_over(stack) == [[], [], []]
    bad = live.api(
        "POST", "/docker/stacks?wait=60", {"name": stack, "compose": three(run_id, command='["/nope"]')}
    )
    assert bad.status_code == 502 and "/nope" in bad.json()["error"]["message"], bad.text
    assert left_over(stack) == [[], [], []]
    assert live.api("GET", f"/docker/stacks/{stack}").status_code == 404


def test_a_redeploy_that_fails_brings_back_what_ran(live: LiveConsole, run_id: str, stack: str) -> None:
    assert (
        live.api("POST", "/docker/stacks?wait=60", {"name": stack, "compose": three(run_id)}).status_code
        == 201
    )
    bad = {"compose": three(run_id, command='["/nope"]').replace("GREETING: ", "HELLO: ")}
    assert live.api("PUT", f"/docker/stacks/{stack}?wait=60", bad).status_code == 502
    assert services(live, stack) == {"web": ("running", 2), "db": ("running", 1), "side": ("running", 1)}
    assert "/nope" not in live.get(f"/docker/stacks/{stack}")["compose"]


def test_what_compose_made_outside_is_recognised_and_taken_down(
    live: LiveConsole, run_id: str, tmp_path: Path
) -> None:
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    (tmp_path / "compose.yaml").write_text(three(run_id))
    environ = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": "unix:///var/run/docker.sock"}
    command = [compose_tool().path, "-p", name, "--project-directory", str(tmp_path)]
    try:
        subprocess.run([*command, "up", "-d"], env=environ, check=True, capture_output=True, cwd=tmp_path)
        until(lambda: live.get(f"/docker/stacks/{name}")["services_up"] == 3, "it is shown", 10)
        shown = live.get(f"/docker/stacks/{name}")
        assert (shown["managed"], shown["compose"], shown["state"]) == (False, None, "running")
        taken = live.api("POST", "/docker/stacks", {"name": name, "compose": three(run_id)})
        assert taken.status_code == 409, "Compose would take the others for its own"
        assert live.api("POST", f"/docker/stacks/{name}/stop?wait=60").status_code == 200
        assert live.get(f"/docker/stacks/{name}")["state"] == "stopped"
        assert live.api("POST", f"/docker/stacks/{name}/pull").status_code == 422
        gone = live.api("DELETE", f"/docker/stacks/{name}?volumes=true&wait=60")
        assert gone.status_code == 200, gone.text
        assert left_over(name) == [[], [], []]
    finally:
        subprocess.run([*command, "down", "-v", "-t", "0"], env=environ, capture_output=True, cwd=tmp_path)


def test_an_operator_is_told_rule_service_and_line(live: LiveConsole) -> None:
    user = f"op{uuid.uuid4().hex[:6]}"
    body = {"username": user, "password": PASSWORD, "role": "operator"}
    assert live.api("POST", "/users", body).status_code == 201
    token = {"Authorization": f"Bearer {live.log_in(user)}"}
    text = "services:\n  web:\n    image: libgo/demo:latest\n    privileged: true\n    pid: host\n"
    answer = live.api("POST", "/docker/stacks", {"name": "libgo-t-denied", "compose": text}, **token)
    error = answer.json()["error"]
    assert answer.status_code == 403 and error["code"] == "POLICY_DENIED", answer.text
    told = {(p["rule"], p["service"], p["line"]) for p in error["details"]["problems"]}
    assert told == {("privileged", "web", 4), ("host_pid", "web", 5)}
    checked = live.api("POST", "/docker/stacks/validate", {"compose": text}, **token)
    assert checked.status_code == 200 and checked.json()["valid"] is False


def test_a_first_deployment_whose_worker_is_lost_leaves_nothing(
    live: LiveConsole, run_id: str, stack: str
) -> None:
    asked = live.api("POST", "/docker/stacks", {"name": stack, "compose": three(run_id, test="false")})
    operation = asked.json()["operation"]["id"]
    # The step may be gone as soon as it is there; the log keeps it.
    until(lambda: "db-1 Waiting" in str(live.get(f"/operations/{operation}/log")), "half of it is up", 40)
    live.kill("worker")
    over = ("failed", "interrupted")
    until(lambda: live.get(f"/operations/{operation}")["state"] in over, "another worker closes it", 60)
    assert left_over(stack) == [[], [], []]
    assert live.api("GET", f"/docker/stacks/{stack}").status_code == 404
    processes = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    assert f"-p {stack}" not in processes, "Compose does not outlive whom it works for"
