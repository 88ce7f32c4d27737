"""Many at once, and an engine that changes behind one's back: one wins, the others are told why."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import docker
import pytest
import requests

from tests.crowd import crowd
from tests.engines import PrivateEngine
from tests.faults.cases import quiet_body
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured, engine_list
from tests.live import LiveConsole, until

_AT_ONCE = 20
Converged = Callable[[], None]


def _body(live: LiveConsole, node: str, name: str) -> dict[str, Any]:
    return quiet_body(name, live.get(node)["name"])


def _asking(live: LiveConsole, method: str, path: str, body: Any, **headers: str) -> Callable[[int], Any]:
    """For ``crowd``: each on a connection of its own."""
    sent = {"Authorization": f"Bearer {live.token()}", **headers}
    url = f"{live.url}/api/v1{path}"
    return lambda number: requests.request(method, url, json=body, headers=sent, timeout=60)


@pytest.fixture
def named(live: LiveConsole, converged: Converged) -> Any:
    names: list[str] = []

    def make() -> str:
        names.append(f"libgo-t-r{os.getpid()}-{len(names)}-{os.urandom(2).hex()}")
        return names[-1]

    yield make
    for name in names:
        path = f"/compute/instances/{name}?force=true&wait=60"
        until(lambda path=path: live.api("DELETE", path).status_code in (200, 404), f"{name} is gone", 20)


@fault(
    "F40",
    "20 creates of one name at one moment",
    sees="one is let in, 19 get NAME_CONFLICT",
    keeps="one container",
)
def test_of_many_creates_of_one_name_one_wins(
    live: LiveConsole, engine: PrivateEngine, node: str, named: Any, measured: Measured, converged: Converged
) -> None:
    body = _body(live, node, named())
    began = time.monotonic()
    found = crowd(_AT_ONCE, _asking(live, "POST", "/compute/instances", body))
    measured("answered within", time.monotonic() - began)
    assert found.counts == {(202, ""): 1, (409, "NAME_CONFLICT"): _AT_ONCE - 1}
    converged()
    assert list(engine_list(engine)).count(body["name"]) == 1


@fault(
    "F42",
    "20 creates with one Idempotency-Key at one moment, then one with another body",
    sees="all get the same operation; the other body is refused",
    keeps="one container",
)
def test_one_key_makes_one_operation(
    live: LiveConsole, node: str, named: Any, measured: Measured, converged: Converged
) -> None:
    body, key = _body(live, node, named()), os.urandom(8).hex()
    began = time.monotonic()
    ask = _asking(live, "POST", "/compute/instances", body, **{"Idempotency-Key": key})
    answers = crowd(_AT_ONCE, ask).answers
    measured("answered within", time.monotonic() - began)
    assert all(answer.status_code < 300 for answer in answers), [answer.text for answer in answers]
    assert len({answer.json()["operation"]["id"] for answer in answers}) == 1
    other = live.api("POST", "/compute/instances", {**body, "name": named()}, **{"Idempotency-Key": key})
    assert 400 <= other.status_code < 500, other.text
    converged()


@fault(
    "F39",
    "20 people stop one container at one moment",
    sees="one operation; the others get INSTANCE_BUSY with its id, or that it is stopped",
    keeps="one defined state",
)
def test_of_many_stops_one_is_at_work(
    live: LiveConsole, node: str, named: Any, measured: Measured, converged: Converged
) -> None:
    body = _body(live, node, named())
    assert live.api("POST", "/compute/instances?wait=60", body).status_code == 201
    began = time.monotonic()
    ask = _asking(live, "PUT", f"/compute/instances/{body['name']}/stop", {"timeout": 1})
    answers = crowd(_AT_ONCE, ask).answers
    measured("answered within", time.monotonic() - began)
    for answer in answers:
        if answer.status_code == 409:
            error = answer.json()["error"]
            assert error["code"] == "INSTANCE_BUSY" and error["details"]["operation"], error
        else:
            assert answer.status_code in (200, 202), answer.text
    assert any(answer.status_code == 202 for answer in answers)
    converged()
    assert live.get(f"/compute/instances/{body['name']}")["state"] == "stopped"


@fault(
    "F43 F48",
    "a container is removed and made again with the same name behind LibGo's back",
    sees="the new one is another instance; what was asked of the old one finds nothing",
    keeps="the stranger is never touched",
)
def test_an_impostor_of_the_same_name_is_never_acted_upon(
    live: LiveConsole, engine: PrivateEngine, node: str, named: Any, measured: Measured, converged: Converged
) -> None:
    body = _body(live, node, named())
    made = live.api("POST", "/compute/instances?wait=60", body)
    assert made.status_code == 201, made.text
    old = made.json()["instance"]["id"]
    client = docker.DockerClient(base_url=engine.url)
    try:
        client.containers.get(body["name"]).remove(force=True)
        stranger = client.containers.run(
            "libgo/demo:latest", name=body["name"], network_mode="none", detach=True
        )
        answer = live.api("DELETE", f"/compute/instances/{old}?force=true&wait=60")
        assert answer.status_code in (200, 404, 409), answer.text
        stranger.reload()
        assert stranger.status == "running", "the stranger was touched"

        def is_another() -> bool:
            shown = live.shown(body["name"])
            return shown is not None and shown["id"] != old and shown["state"] == "running"

        measured("seen after", until(is_another, "the stranger is an instance of its own", 5))
        assert live.api("GET", f"/compute/instances/{old}").status_code == 404
        converged()
    finally:
        client.close()


@fault(
    "F46",
    "a client that waits for its operation hangs up",
    sees="nothing; the operation goes on",
    keeps="the operation",
)
def test_an_operation_goes_on_without_its_client(
    live: LiveConsole, node: str, named: Any, measured: Measured, converged: Converged
) -> None:
    body = _body(live, node, named())
    headers = {"Authorization": f"Bearer {live.token()}"}
    url = f"{live.url}/api/v1/compute/instances?wait=60"
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(url, json=body, headers=headers, timeout=(5, 0.15))

    def runs() -> bool:
        shown = live.shown(body["name"])
        return shown is not None and shown["state"] == "running"

    measured("running after", until(runs, "it was made all the same", 30))
    converged()
