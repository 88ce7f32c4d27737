"""Many at once, and an engine that changes behind one's back: one wins, the others are told why."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
import pytest
import requests

from tests.engines import PrivateEngine
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured, engine_list
from tests.live import LiveConsole, until

_AT_ONCE = 20
Converged = Callable[[], None]


def _body(live: LiveConsole, node: str, name: str) -> dict[str, Any]:
    config = {"image": "libgo/demo:latest", "network_mode": "none"}
    return {"name": name, "backend": "docker", "node": live.get(node)["name"], "config": config}


def _at_once(live: LiveConsole, ask: Callable[[int, dict[str, str]], requests.Response]) -> list[Any]:
    """All of them begin at one moment, each on a connection of its own."""
    headers = {"Authorization": f"Bearer {live.token()}"}
    barrier = threading.Barrier(_AT_ONCE)

    def one(number: int) -> requests.Response:
        barrier.wait(20)
        return ask(number, headers)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(one, range(_AT_ONCE)))


@pytest.fixture
def named(live: LiveConsole, converged: Converged) -> Any:
    names: list[str] = []

    def make() -> str:
        names.append(f"libgo-t-r{os.getpid()}-{len(names)}-{os.urandom(2).hex()}")
        return names[-1]

    yield make
    for name in names:
        path = f"/compute/instances/{name}?force=true&wait=30"
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
    url, began = f"{live.url}/api/v1/compute/instances", time.monotonic()
    answers = _at_once(live, lambda n, h: requests.post(url, json=body, headers=h, timeout=60))
    measured("answered within", time.monotonic() - began)
    assert Counter(answer.status_code for answer in answers) == {202: 1, 409: _AT_ONCE - 1}
    codes = {answer.json()["error"]["code"] for answer in answers if answer.status_code == 409}
    assert codes == {"NAME_CONFLICT"}
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
    url, began = f"{live.url}/api/v1/compute/instances", time.monotonic()

    def ask(number: int, headers: dict[str, str]) -> requests.Response:
        return requests.post(url, json=body, headers={**headers, "Idempotency-Key": key}, timeout=60)

    answers = _at_once(live, ask)
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
    url, began = f"{live.url}/api/v1/compute/instances/{body['name']}/stop", time.monotonic()
    answers = _at_once(live, lambda n, h: requests.put(url, json={"timeout": 1}, headers=h, timeout=60))
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
        answer = live.api("DELETE", f"/compute/instances/{old}?force=true&wait=30")
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
