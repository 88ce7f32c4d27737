"""The rows of ``/docker/containers`` over a whole console and the real engine."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import docker
import pytest
import requests

from tests.live import PASSWORD, LiveConsole, strain, until

BASE = "/docker/containers"
DEMO = "libgo/demo:latest"


@dataclass
class Person:
    """Somebody else than the administrator, over HTTP."""

    console: LiveConsole
    token: str

    def api(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.console.url}/api/v1{path}"
        return requests.request(method, url, json=body, headers=headers, timeout=60)


@pytest.fixture(scope="module")
def people(live: LiveConsole) -> dict[str, Person]:
    """An operator and a viewer of the default project, and an operator of another one."""
    mark = uuid.uuid4().hex[:6]
    other = live.api("POST", "/projects", {"name": f"other-{mark}"}).json()["id"]
    found = {}
    for name, role, project in (
        ("operator", "operator", "default"),
        ("viewer", "viewer", "default"),
        ("stranger", "operator", other),
    ):
        username = f"{name}-{mark}"
        live.api("POST", "/users", {"username": username, "password": PASSWORD})
        answer = live.api("POST", f"/projects/{project}/members", {"user": username, "role": role})
        assert answer.status_code in (200, 201), answer.text
        if project != "default":
            live.api("DELETE", f"/projects/default/members/{username}")
        found[name] = Person(live, live.log_in(username))
    return found


@pytest.fixture
def make(live: LiveConsole) -> Iterator[Callable[..., dict[str, Any]]]:
    """``make(command=[...])``: a container made through the API, gone afterwards."""
    made: list[str] = []

    def _make(**body: Any) -> dict[str, Any]:
        name = f"libgo-t-{uuid.uuid4().hex[:8]}"
        made.append(name)
        wanted = {
            "name": name,
            "image": DEMO,
            "labels": {"libgo.test": "live"},
            "network_mode": "none",
            **body,
        }
        answer = live.api("POST", f"{BASE}?wait=60", wanted)
        assert answer.status_code == 201, answer.text
        return dict(answer.json()["instance"])

    yield _make
    for name in made:
        live.api("DELETE", f"{BASE}/{name}?force=true&volumes=true&wait=60")


def _shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def _refused(answer: requests.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code, error
    return dict(error["details"])


def _result(answer: requests.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def test_a_container_is_made_from_flat_fields_or_a_config(live: LiveConsole, make: Any) -> None:
    flat = make(command=_shell("sleep 60"), env={"A": "1"}, pids_limit=64, init=True, tmpfs=["/x:size=1m"])
    detail = live.get(f"{BASE}/{flat['name']}")
    assert detail["config"]["command"] == _shell("sleep 60") and detail["config"]["pids_limit"] == 64
    assert detail["config"]["tmpfs"] == ["/x:size=1m"] and detail["process"]["running"] is True
    nested = make(config={"image": DEMO, "network_mode": "none"}, image=None, network_mode=None)
    assert nested["state"] == "running"
    both = {"name": "x", "image": DEMO, "config": {"image": DEMO}}
    _refused(live.api("POST", BASE, both), 400, "INVALID_INPUT")
    _refused(live.api("POST", BASE, {"name": "x", "image": DEMO, "surprise": 1}), 400, "INVALID_INPUT")
    _refused(live.api("POST", BASE, {"name": flat["name"], "image": DEMO}), 409, "NAME_CONFLICT")


def test_the_list_takes_the_engine_s_filters(live: LiveConsole, make: Any) -> None:
    running, stopped = make(), make(auto_start=False)

    def names(query: str) -> set[str]:
        page = live.get(f"{BASE}?page_size=500{query}")
        assert set(page) == {"items", "total", "page", "page_size"}
        return {row["name"] for row in page["items"]} & {running["name"], stopped["name"]}

    both = {running["name"], stopped["name"]}
    assert names("") == {running["name"]}
    assert names("&all=true") == both
    assert names('&filters={"status":["created"]}&all=true') == {stopped["name"]}
    assert names('&filters={"label":["libgo.test=live"],"status":{"running":true}}') == {running["name"]}
    assert names(f'&all=true&filters={{"since":["{running["name"]}"]}}') == {stopped["name"]}
    assert names(f'&all=true&filters={{"name":["{stopped["name"]}"]}}') == {stopped["name"]}
    newest = live.get(f"{BASE}?limit=1")
    assert newest["total"] == 1 and newest["items"][0]["name"] == stopped["name"]
    _refused(live.api("GET", f'{BASE}?filters={{"since":["absent"]}}'), 404, "CONTAINER_NOT_FOUND")
    for bad in ("{", "[]", '{"surprise":["x"]}', '{"status":"x"}', '{"status":["x"]}', '{"name":[{}]}'):
        _refused(live.api("GET", f"{BASE}?filters={bad}"), 400, "INVALID_INPUT")


def test_the_detail_tells_what_only_docker_knows_with_secrets_masked(live: LiveConsole, make: Any) -> None:
    made = make(
        command=_shell("exit 3"),
        env={"DB_PASSWORD": "canary", "PLAIN": "seen"},
        labels={"libgo.test": "live", "api_token": "canary"},
        volumes=["/data"],
    )
    until(lambda: live.get(f"{BASE}/{made['id']}")["process"]["exit_code"] == 3, "it ends", 10)
    answer = live.api("GET", f"{BASE}/{made['engine_id'][:12]}?size=true")
    assert "canary" not in answer.text and answer.json()["config"]["env"]["PLAIN"] == "seen"
    detail = answer.json()
    assert detail["id"] == made["id"] and detail["process"]["status"] == "exited"
    assert detail["mounts"][0]["target"] == "/data" and detail["mounts"][0]["source"] == ""
    assert detail["size_root_bytes"] > 0 and detail["restart_count"] == 0
    assert answer.headers["ETag"]
    _refused(live.api("GET", f"{BASE}/libgo-t-absent"), 404, "CONTAINER_NOT_FOUND")


def test_the_life_of_a_container_by_its_verbs(live: LiveConsole, make: Any) -> None:
    one = f"{BASE}/{make()['id']}"
    for verb, state in (
        ("pause", "paused"),
        ("unpause", "running"),
        ("stop", "stopped"),
        ("start", "running"),
        ("restart", "running"),
    ):
        answer = live.api("POST" if verb == "start" else "PUT", f"{one}/{verb}?wait=60", {})
        assert _result(answer)["instance"]["state"] == state, verb
    assert _result(live.api("POST", f"{one}/start"))["operation"] is None
    _refused(live.api("POST", f"{one}/kill", {"signal": "SIGNOTHING"}), 400, "INVALID_INPUT")
    assert _result(live.api("POST", f"{one}/kill?wait=60", {}))["instance"]["state"] == "stopped"
    _refused(live.api("PUT", f"{one}/pause"), 409, "INVALID_STATE")
    _refused(live.api("PUT", f"{BASE}/absent/start"), 404, "CONTAINER_NOT_FOUND")
    assert live.api("DELETE", f"{one}?wait=60").status_code == 200
    _refused(live.api("GET", one), 404, "CONTAINER_NOT_FOUND")


def test_names_and_limits_change_while_it_runs(live: LiveConsole, make: Any) -> None:
    made, other = make(), make(auto_start=False)
    one, name = f"{BASE}/{made['id']}", f"{made['name']}-new"
    assert _result(live.api("PUT", f"{one}/rename?wait=60", {"name": name}))["instance"]["name"] == name
    _refused(live.api("PUT", f"{one}/rename", {"name": other["name"]}), 409, "NAME_CONFLICT")
    _refused(live.api("PUT", f"{one}/rename", {"name": "a b"}), 400, "INVALID_INPUT")
    changes = {
        "resources": {"memory": {"limit": 64 * 1024**2}},
        "restart_policy": {"policy": "on-failure", "maximum_retry_count": 2},
        "pids_limit": 50,
    }
    shown = _result(live.api("POST", f"{one}/update?wait=60", changes))["instance"]
    assert shown["resources"]["memory"]["limit"] == 64 * 1024**2 and shown["config"]["pids_limit"] == 50
    assert shown["config"]["restart_policy"] == {"policy": "on-failure", "maximum_retry_count": 2}
    unified = {"restart_policy": {"policy": "always"}, "name": made["name"]}
    answer = live.api("PUT", f"/compute/instances/{made['id']}?wait=60", unified)
    assert _result(answer)["instance"]["name"] == made["name"]
    assert answer.json()["instance"]["config"]["restart_policy"]["policy"] == "always"
    _refused(live.api("POST", f"{one}/update", {"env": {}}), 400, "INVALID_INPUT")


def test_one_command_runs_to_its_end(live: LiveConsole, make: Any) -> None:
    one = f"{BASE}/{make()['id']}"
    script = "echo out; echo err >&2; pwd; id -u; echo $A; exit 7"
    body = {"command": _shell(script), "env": {"A": "1"}, "work_dir": "/tmp", "user": "65534"}
    done = _result(live.api("POST", f"{one}/exec", body))
    assert (done["exit_code"], done["timed_out"], done["stderr"]) == (7, False, "err\n")
    assert done["stdout"].split() == ["out", "/tmp", "65534", "1"]
    absent = _result(live.api("POST", f"{one}/exec", {"command": ["/nope"]}))
    assert absent["exit_code"] in (126, 127) and "OCI" not in absent["stdout"] + absent["stderr"]
    for bad in ({}, {"command": "ls"}, {"command": []}, {"command": [""]}, {"command": ["ls"], "timeout": 0}):
        _refused(live.api("POST", f"{one}/exec", bad), 400, "INVALID_INPUT")
    live.api("PUT", f"{one}/stop?wait=60", {"force": True})
    _refused(live.api("POST", f"{one}/exec", {"command": ["ls"]}), 409, "INVALID_STATE")


def test_a_command_that_outlasts_its_time_is_ended_and_a_flood_is_cut_off(
    live: LiveConsole, make: Any
) -> None:
    made = make()
    one = f"{BASE}/{made['id']}"
    began = time.monotonic()
    body = {"command": _shell("echo begun; sleep 97 & sleep 98"), "timeout": 1}
    done = _result(live.api("POST", f"{one}/exec", body))
    assert (done["exit_code"], done["timed_out"], done["stdout"]) == (None, True, "begun\n")
    assert time.monotonic() - began < 8 * strain()
    seen = _result(live.api("POST", f"{one}/exec", {"command": ["ps"]}))["stdout"]
    assert "sleep 97" not in seen and "sleep 98" not in seen
    flood = {"command": _shell("head -c 3000000 /dev/zero | tr '\\0' x")}
    done = _result(live.api("POST", f"/compute/instances/{made['id']}/exec", flood))
    assert done["truncated"] and done["exit_code"] == 0
    assert len(done["stdout"]) < 1_100_000 and done["stdout"].rstrip().endswith("bytes]")


def test_what_it_says_uses_and_runs(live: LiveConsole, make: Any) -> None:
    one = f"{BASE}/{make(command=_shell('echo out; echo err >&2; sleep 60'))['id']}"
    until(lambda: len(live.get(f"{one}/logs")["lines"]) == 2, "both lines are there", 10)
    assert [line["text"] for line in live.get(f"{one}/logs?stderr=false")["lines"]] == ["out"]
    stats = live.get(f"{one}/stats")
    assert stats["memory_bytes"] > 0 and stats["pids"] >= 1 and stats["timestamp"]
    headers = {"Authorization": f"Bearer {live.log_in()}"}
    url = f"{live.url}/api/v1{one}/stats?stream=true"
    with requests.get(url, headers=headers, stream=True, timeout=20) as answer:
        lines = answer.iter_lines()
        samples = [json.loads(next(lines)) for _ in range(2)]
    assert samples[0]["timestamp"] < samples[1]["timestamp"]
    top = live.get(f"{one}/top")
    assert "PID" in top["titles"] and any("sleep 60" in " ".join(row) for row in top["processes"])
    assert live.get(f"{one}/top?ps_args=-eo pid,user,args")["titles"][0] == "PID"
    _refused(live.api("GET", f"{one}/top?ps_args=auxe"), 400, "INVALID_INPUT")
    live.api("POST", f"{one}/exec", {"command": ["touch", "/made"]})
    changed = live.get(f"{one}/changes")["items"]
    assert {"path": "/made", "kind": "added"} in changed


def test_waiting_ends_with_the_exit_code_or_with_its_time(live: LiveConsole, make: Any) -> None:
    one = f"{BASE}/{make(command=_shell('sleep 2; exit 5'))['id']}"
    early = _result(live.api("POST", f"{one}/wait", {"timeout": 0.2}))
    assert early == {"exit_code": None, "timed_out": True, "condition": "not-running"}
    assert _result(live.api("PUT", f"{one}/wait", {}))["exit_code"] == 5
    _refused(live.api("POST", f"{one}/wait", {"condition": "bored"}), 400, "INVALID_INPUT")


def test_a_terminal_takes_its_size(live: LiveConsole, make: Any) -> None:
    one = f"{BASE}/{make(tty=True, command=_shell('sleep 60'))['id']}"
    assert live.api("POST", f"{one}/resize", {"height": 40, "width": 120}).status_code == 204
    _refused(live.api("POST", f"{one}/resize", {"height": 0, "width": 120}), 400, "INVALID_INPUT")


def test_a_commit_makes_an_image_that_runs(live: LiveConsole, make: Any) -> None:
    made = make()
    one, repo = f"{BASE}/{made['id']}", f"libgo-t-commit/{made['name']}"
    live.api("POST", f"{one}/exec", {"command": ["touch", "/kept"]})
    body = {
        "repo": repo,
        "tag": "v1",
        "changes": ['CMD ["/bin/sh", "-c", "ls /kept; sleep 60"]'],
        "message": "m",
    }
    done = _result(live.api("POST", f"{one}/commit?wait=60", body), 201)
    try:
        assert done["operation"]["result"]["reference"] == f"{repo}:v1"
        again = make(image=f"{repo}:v1")
        until(lambda: live.get(f"{BASE}/{again['id']}/logs")["text"] == "/kept", "it prints", 10)
        live.api("DELETE", f"{BASE}/{again['id']}?force=true&wait=60")
    finally:
        remove_image(f"{repo}:v1")
    for bad in ({"repo": "UPPER"}, {"repo": repo, "changes": ["RUN rm"]}, {"repo": repo, "tag": "a b"}, {}):
        _refused(live.api("POST", f"{one}/commit", bad), 400, "INVALID_INPUT")


def remove_image(reference: str) -> None:
    docker.APIClient().remove_image(reference, force=True)


def test_pruning_takes_what_does_not_run_after_saying_so(
    live: LiveConsole, people: dict[str, Person]
) -> None:
    stranger, mark = people["stranger"], uuid.uuid4().hex[:6]
    names = {state: f"libgo-t-{mark}-{state}" for state in ("stopped", "running")}
    body = {"image": DEMO, "network_mode": "none", "labels": {"libgo.test": "live"}}
    for state, name in names.items():
        wanted = {**body, "name": name, "auto_start": state == "running"}
        assert stranger.api("POST", f"{BASE}?wait=60", wanted).status_code == 201
    preview = _result(stranger.api("POST", f"{BASE}/prune?dry_run=true"))
    assert [item["name"] for item in preview["items"]] == [names["stopped"]] and preview["dry_run"]
    done = _result(stranger.api("POST", f"{BASE}/prune", {}))
    assert done["count"] == 1 and done["space_reclaimed_bytes"] >= 0
    left = {row["name"] for row in stranger.api("GET", f"{BASE}?all=true").json()["items"]}
    assert left == {names["running"]}
    assert stranger.api("DELETE", f"{BASE}/{names['running']}?force=true&wait=60").status_code == 200
