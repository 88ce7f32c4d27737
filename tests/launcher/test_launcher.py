"""``./libgo`` as a person uses it, on a private state folder and port."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.faults.catalogue import fault
from tests.live import LiveConsole, until
from tests.migrated import database_put


@pytest.fixture
def console(engines: None, tmp_path: Path) -> Iterator[LiveConsole]:
    made = LiveConsole(tmp_path / "var")
    yield made
    made.stop()


@pytest.fixture
def settled(console: LiveConsole) -> LiveConsole:
    """One that was up before: its database is there."""
    database_put(console.var / "libgo.sqlite3")
    return console


def _processes_of(console: LiveConsole) -> list[str]:
    """Processes that were started for this state folder, by their environment."""
    mark, found = f"LIBGO_VAR={console.var}\0".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes() and path.parent.name != str(os.getpid()):
                found.append((path.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if line]


def test_up_status_second_up_and_down_leave_nothing(console: LiveConsole) -> None:
    first = console.launch("up", "-d", "--no-install")
    assert console.url in first.stdout
    assert stat.S_IMODE(console.var.stat().st_mode) == 0o700
    assert stat.S_IMODE((console.var / "secret_key").stat().st_mode) == 0o600
    assert requests.get(f"{console.url}/health/readiness", timeout=5).status_code == 200
    assert "runs already" in console.launch("up", "-d", "--no-install").stdout
    status = console.launch("status").stdout
    assert "ready" in status and all(
        word in status for word in ("web", "worker", "watcher", "beat", "broker")
    )
    console.launch("down")
    assert _processes_of(console) == []
    assert console.try_launch("status").returncode == 3
    began = time.monotonic()
    console.launch("up", "-d", "--no-install")
    print(f"second up: {time.monotonic() - began:.1f} s")


@fault(
    "F29",
    "processes of LibGo, and then the supervisor itself, are killed (SIGKILL)",
    sees="what died is back within seconds",
    keeps="no process stays behind, the next start finds no lock",
)
def test_what_dies_is_started_again_and_a_killed_supervisor_leaves_nothing(settled: LiveConsole) -> None:
    settled.launch("up", "-d", "--no-install")
    for name in ("web", "worker", "beat"):
        before = settled.pid(name)
        settled.kill(name)
        until(lambda name=name, before=before: settled.pid(name) not in (0, before), f"{name} is back", 10)  # type: ignore[misc]
    until(lambda: requests.get(f"{settled.url}/health/readiness", timeout=2).status_code == 200, "ready", 15)
    supervisor = int((settled.var / "run" / "supervisor.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: _processes_of(settled) == [], "all children are gone", 10)


def test_a_taken_port_is_one_clear_sentence(console: LiveConsole) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", console.port))
        holder.listen()
        refused = console.try_launch("up", "-d", "--no-install")
    assert refused.returncode == 1 and len(refused.stderr.strip().splitlines()) == 1
    assert str(console.port) in refused.stderr and "LIBGO_PORT" in refused.stderr


def test_a_wrong_configuration_stops_the_start_with_its_line(console: LiveConsole, tmp_path: Path) -> None:
    config = tmp_path / "libgo.yaml"
    config.write_text("docker:\n  enabled: perhaps\n")
    console.environ["LIBGO_CONFIG"] = str(config)
    refused = console.try_launch("up", "-d", "--no-install")
    assert refused.returncode == 1 and f"{config}:2:" in refused.stderr and "true or false" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_one_half_may_be_left_out(settled: LiveConsole) -> None:
    settled.launch("up", "-d", "--no-install", "--without-kvm")
    until(lambda: settled.get("/nodes")["total"] == 1, "only the Docker node", 5)
    health = settled.get("/compute/health")["backends"]
    assert health["kvm"]["status"] == "disabled" and "switched off" in health["kvm"]["message"]
    until(lambda: settled.get("/nodes/local-docker")["status"] == "online", "Docker goes on", 10)
    refused = settled.api(
        "POST", "/compute/instances", {"name": "x", "backend": "kvm", "config": {"image": "y"}}
    )
    assert refused.status_code == 503 and refused.json()["error"]["code"] == "BACKEND_UNAVAILABLE"


def test_doctor_and_unknown_words(console: LiveConsole) -> None:
    assert "Docker engine answers" in console.try_launch("doctor").stdout
    assert console.try_launch("dance").returncode == 2
    assert "no log of" in console.try_launch("logs", "nothing").stderr


def _is_ready(console: LiveConsole) -> bool:
    try:
        return requests.get(f"{console.url}/health/readiness", timeout=2).status_code == 200
    except requests.ConnectionError:
        return False


def test_ctrl_c_stops_all_of_it(settled: LiveConsole) -> None:
    root = Path(__file__).resolve().parent.parent.parent
    process = subprocess.Popen(
        [str(root / "libgo"), "up", "--no-install"], env=settled.environ, stdout=subprocess.DEVNULL
    )
    until(lambda: _is_ready(settled), "ready", 90)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert _processes_of(settled) == []
