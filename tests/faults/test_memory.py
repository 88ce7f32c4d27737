"""Memory runs out, and the kernel ends what asks for more: a container, a guest, LibGo's own processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.failpoints import Rule
from tests.faults.cases import QUIET, things_of
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.faults.memory import out_of_memory
from tests.faults.shaky import Shaky
from tests.live import ENDED, LiveConsole, until

_MIB = 1024**2
# A shell keeps what it has read in a variable.
_GREEDY = "sleep 2; x=$(head -c 80000000 /dev/zero | tr '\\0' a); echo ${#x}; sleep 600"
_WHY = "Ran out of memory and was killed (exit code 137)"


def _name(word: str) -> str:
    return f"libgo-t-{word}{os.getpid()}-{os.urandom(2).hex()}"


def _events(live: LiveConsole, instance: str, kind: str) -> list[dict[str, Any]]:
    return list(live.get(f"/events?instance={instance}&type={kind}&limit=100")["items"])


@fault(
    "F30",
    "a container of 16 MiB asks for 80, and the kernel kills it",
    sees="stopped, “ran out of memory and was killed (exit code 137)”, a fact, the alert “instance down”",
    keeps="its neighbours, its definition: with more memory it runs",
)
def test_a_container_that_ran_out_of_memory_says_so_everywhere(
    live: LiveConsole, node: str, measured: Measured, converged: Callable[[], None]
) -> None:
    at, size = live.get(node)["name"], {"memory": {"limit": 16 * _MIB}}
    rule = live.api(
        "POST",
        "/alerts/rules",
        {"name": _name("down"), "kind": "instance_down", "severity": "warning", "for_s": 0},
    )
    assert rule.status_code == 201, rule.text
    neighbour = live.create(_name("well"), "docker", node=at, config=QUIET, resources=size)
    config = {**QUIET, "command": ["sh", "-c", _GREEDY]}
    made = live.create(_name("greedy"), "docker", node=at, config=config, resources=size)
    row = f"/compute/instances/{made['id']}"
    try:
        until(lambda: live.get(row)["state"] == "stopped", "its end is shown", 20)
        assert live.get(row)["status"] == _WHY
        until(lambda: _events(live, made["id"], "instance.out_of_memory"), "the fact is told", 5)
        (stopped,) = _events(live, made["id"], "instance.stopped")
        assert stopped["message"] == f"{made['name']} is stopped: {_WHY}.", stopped
        measured("alarmed after", until(lambda: _alert(live, made["id"]), "the alert fires", 30))
        assert _WHY in _alert(live, made["id"])[0]["message"]
        assert live.get(f"/compute/instances/{neighbour['id']}")["state"] == "running"
        more = live.api("PUT", f"{row}/resources?wait=60", {"memory": {"limit": 256 * _MIB}})
        assert more.status_code == 200, more.text
        assert live.api("PUT", f"{row}/start?wait=60").status_code == 200
        until(lambda: "80000000" in live.get(f"{row}/logs")["text"], "it has what it asked for", 20)
    finally:
        for one in (made, neighbour):
            live.api("DELETE", f"/compute/instances/{one['id']}?force=true&wait=60")
        live.api("DELETE", f"/alerts/rules/{rule.json()['id']}")


def _alert(live: LiveConsole, instance: str) -> list[dict[str, Any]]:
    found = live.get("/alerts?state=firing&page_size=200")["items"]
    return [alert for alert in found if alert["instance"] == instance]


@fault(
    "F12 F30",
    "the kernel kills the QEMU of a running guest for want of memory",
    sees="the guest is down, and why it may be; it can be started again",
    keeps="its definition and its disk",
)
def test_a_guest_whose_qemu_is_killed_for_memory_is_shown_and_starts_again(
    live: LiveConsole, measured: Measured
) -> None:
    name = _name("g")
    made = live.create(name, "kvm")
    row = f"/compute/instances/{made['id']}"
    try:
        out_of_memory(int(Path(f"/run/libvirt/qemu/{name}.pid").read_text()))
        down = until(lambda: live.get(row)["state"] in ("stopped", "error"), "its end is seen", 10)
        measured("shown after", down)
        until(lambda: "memory" in live.get(row)["status"], "and why it may be", 10)
        started = live.api("PUT", f"{row}/start?wait=60")
        assert started.status_code == 200 and live.get(row)["state"] == "running", started.text
    finally:
        live.api("DELETE", f"{row}?force=true&wait=60")


def _ask(live: LiveConsole) -> None:
    """Something to do for who answers requests; whether it does is of no matter."""
    with contextlib.suppress(requests.RequestException):
        requests.get(f"{live.url}/health/liveness", timeout=0.5)


@fault(
    "F30",
    "the kernel kills a process of LibGo for want of memory while a container is made",
    sees="lists answer again within seconds; the operation ends by itself, well or with the reason",
    keeps="one container or none; the same again works; the log says that it was killed",
)
@pytest.mark.parametrize("process", ["worker", "web", "watcher"])
def test_a_process_without_memory_takes_nothing_along(shaky: Shaky, process: str, measured: Measured) -> None:
    live, (name, again) = shaky.live, shaky.names(2)
    shaky.points.set(Rule("instance.create", name, "begin"))
    operation = shaky.ask(name)
    until(lambda: name in shaky.points.struck(), "it is at work", 20)
    before = live.pid(process)
    out_of_memory(before, poke=lambda: _ask(live) if process == "web" else None)
    shaky.points.set()
    measured("answers after", until(lambda: live.get("/compute/instances") is not None, "lists", 20))
    until(lambda: live.pid(process) not in (0, before), "another has come", 20)
    measured("ended after", until(lambda: shaky.outcome(operation)["state"] in ENDED, "it ends", 60))
    ended = shaky.outcome(operation)
    if process == "worker":
        assert ended["state"] == "failed" and "worker was lost" in ended["error"]["message"], ended
        until(lambda: not things_of(live, name), "nothing is left of it", 20)
    else:
        assert ended["state"] == "succeeded", ended
        assert things_of(live, name) == {f"container {name}"}
    shaky.succeeded([shaky.ask(again)], 30)
    assert f"{process} was killed (SIGKILL" in live.logs()
