"""What the whole console does, and what it survives, over the real engines."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests

from tests.attacks.catalogue import attack
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.live import PASSWORD, LiveConsole, strain, until

POOL = Path("/var/lib/libvirt/images")
_OWNER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _disks(*owners: str) -> set[str]:
    """What lies in the pool, without the disks of other instances: other tests run beside this one."""
    found = {file: _OWNER.search(file) for file in os.listdir(POOL)}
    return {file for file, named in found.items() if named is None or named.group() in owners}


def _left_over(name: str) -> list[str]:
    """Whatever an instance of this name has on the engines."""
    found = _run("docker", "ps", "-aq", "--filter", f"name=^{name}$").split()
    found += [
        line
        for line in _run("virsh", "-c", "qemu:///system", "list", "--all", "--name").split()
        if line == name
    ]
    return found


def test_a_container_and_a_guest_from_creation_to_nothing_left(live: LiveConsole) -> None:
    """The first ten minutes of a new user, over REST."""
    before = _disks()
    container, guest = f"libgo-t-c{os.getpid()}", f"libgo-t-v{os.getpid()}"
    live.create(container, "docker")
    machine = live.create(guest, "kvm")["id"]
    states = {row["name"]: row["state"] for row in live.get("/compute/instances")["instances"]}
    assert states[container] == states[guest] == "running"
    assert "LIBGO CONTAINER UP" in live.get(f"/compute/instances/{container}/logs")["text"]
    until(
        lambda: "LIBGO GUEST UP" in live.get(f"/compute/instances/{guest}/logs?tail=all")["text"],
        "the prompt",
        60,
    )
    assert f"host={guest}" in live.get(f"/compute/instances/{guest}/logs?tail=all")["text"]
    until(lambda: live.get(f"/compute/instances/{guest}")["networks"][0]["ip_address"], "an address", 60)
    assert live.get(f"/compute/instances/{guest}/usage")["memory_bytes"] > 0
    for name in (container, guest):
        stopped = live.api("PUT", f"/compute/instances/{name}/stop?wait=60", {"timeout": 30})
        assert stopped.status_code == 200 and stopped.json()["instance"]["state"] == "stopped"
        assert live.api("DELETE", f"/compute/instances/{name}?wait=60").status_code == 200
        assert _left_over(name) == []
    assert _disks(machine) == before
    assert not list(Path("/var/log/libvirt/qemu").glob(f"*{guest}*"))


def test_a_change_outside_shows_within_a_second(live: LiveConsole) -> None:
    name = f"libgo-t-o{os.getpid()}"
    _run(
        "docker",
        "run",
        "-d",
        "--name",
        name,
        "--label",
        "libgo.test=live",
        "--network",
        "none",
        "libgo/demo:latest",
    )
    try:
        came = until(lambda: name in live.names(), "the container appears", 3)
    finally:
        _run("docker", "rm", "-f", name)
    went = until(lambda: name not in live.names(), "the container vanishes", 3)
    xml = (
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>"
        "<os><type arch='x86_64'>hvm</type></os></domain>"
    )
    path = live.var / "outside.xml"
    path.write_text(xml)
    _run("virsh", "-c", "qemu:///system", "define", str(path))
    try:
        defined = until(lambda: name in live.names(), "the domain appears", 3)
    finally:
        _run("virsh", "-c", "qemu:///system", "undefine", name)
    gone = until(lambda: name not in live.names(), "the domain vanishes", 3)
    print(f"seconds: container {came:.2f}/{went:.2f}, domain {defined:.2f}/{gone:.2f}")


@fault(
    "F14 F22 F26 F27 (part)",
    "a process of LibGo is killed (SIGKILL) while a guest is made",
    sees="the operation ends by itself, well or with a reason",
    keeps="a whole guest or nothing: no row, no domain, no disk",
)
@pytest.mark.parametrize("victim", ["worker", "watcher", "web", "broker"])
def test_a_hard_kill_in_the_middle_of_a_guest_create_leaves_no_half(
    live: LiveConsole, victim: str, name: str, measured: Measured
) -> None:
    before = _disks()
    body = {
        "name": name,
        "backend": "kvm",
        "config": {"image": "libgo-demo"},
        "resources": {"memory": {"limit": 192 * 1024**2}},
    }
    asked = live.api("POST", "/compute/instances", body).json()
    operation, machine = asked["operation"], asked["instance"]["id"]
    until(lambda: live.get(f"/operations/{operation['id']}")["progress"] > 10, "the create is under way", 15)
    live.kill(victim)
    final = ("succeeded", "failed")
    path = f"/operations/{operation['id']}"
    measured("ended after", until(lambda: live.get(path)["state"] in final, "it ends by itself", 60))
    outcome = live.get(f"/operations/{operation['id']}")
    if outcome["state"] == "failed":
        assert outcome["error"]["message"]
        until(lambda: name not in live.names() and _left_over(name) == [], "nothing is left", 10)
    else:
        assert live.get(f"/compute/instances/{name}")["state"] == "running"
        assert live.api("DELETE", f"/compute/instances/{name}?force=true&wait=60").status_code == 200
    until(lambda: _disks(machine) == before, "no half-made disk stays", 10)
    until(lambda: live.pid(victim) > 0, f"the {victim} is back", 20)
    assert live.get("/compute/instances") is not None


@fault(
    "F12",
    "the QEMU of a running guest is killed (SIGKILL)",
    sees="the guest is no longer shown as running; it can be started again",
    keeps="its definition and its disk",
)
def test_a_killed_guest_is_shown_and_starts_again(live: LiveConsole, name: str, measured: Measured) -> None:
    live.create(name, "kvm")
    os.kill(int(Path(f"/run/libvirt/qemu/{name}.pid").read_text()), signal.SIGKILL)

    def is_down() -> bool:
        return live.get(f"/compute/instances/{name}")["state"] in ("stopped", "error")

    measured("shown after", until(is_down, "the end of the guest is seen", 10))
    started = live.api("PUT", f"/compute/instances/{name}/start?wait=60")
    assert started.status_code == 200, started.text
    assert live.get(f"/compute/instances/{name}")["state"] == "running"


def test_a_viewer_changes_nothing_by_page_or_api(live: LiveConsole, name: str) -> None:
    live.api("POST", "/users", {"username": "watcher", "password": PASSWORD, "role": "viewer"})
    live.create(name, "docker")
    token = live.log_in("watcher")
    headers = {"Authorization": f"Bearer {token}"}
    path = f"{live.url}/api/v1/compute/instances/{name}"
    assert requests.get(path, headers=headers, timeout=10).status_code == 200
    for method, tail in (("PUT", "/stop"), ("DELETE", "?force=true"), ("PATCH", "")):
        assert requests.request(method, path + tail, json={}, headers=headers, timeout=10).status_code == 403
    assert live.get(f"/compute/instances/{name}")["state"] == "running"


@attack("S81", "many waits of a minute at once", refused="no thread is held")
def test_waiting_holds_no_thread_of_the_server(live: LiveConsole, name: str) -> None:
    """Sixty waiters on a slow stop; the server still answers at once."""
    live.create(name, "docker", config={"image": "libgo/demo:latest", "command": ["sleep", "600"]})
    operation = live.api("PUT", f"/compute/instances/{name}/stop", {"timeout": 4}).json()["operation"]
    waiting = [
        subprocess.Popen(
            ["curl", "-s", "-o", "/dev/null", "-H", f"Authorization: Bearer {live.token()}"]
            + [f"{live.url}/api/v1/operations/{operation['id']}/wait?timeout=20"]
        )
        for _ in range(40)
    ]
    began = time.monotonic()
    assert live.get("/compute/instances")["total"] >= 1
    took = time.monotonic() - began
    for process in waiting:
        assert process.wait(30) == 0
    assert took < 2 * strain(), f"a list took {took:.1f} s while 40 clients waited"
