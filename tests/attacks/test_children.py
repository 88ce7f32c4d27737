"""Programs that LibGo starts end and are taken leave of: none of its processes collects children."""

from __future__ import annotations

import contextlib
from pathlib import Path

import websockets.sync.client as websockets
from websockets import Subprotocol

from tests.live import LiveConsole, until
from tests.people import World

_NAMES = ("web", "worker", "watcher", "beat")
_TIMES = 8


def _stat(pid: int) -> tuple[str, int]:
    """Its state and who started it. The name before may hold anything but a closing bracket at its end."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[1])


def _below(live: LiveConsole) -> dict[str, list[str]]:
    """All descendants of each process, as ``state command``."""
    started: dict[int, list[int]] = {}
    told: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            state, parent = _stat(pid)
            started.setdefault(parent, []).append(pid)
            told[pid] = f"{state} {(entry / 'comm').read_text().strip()}"

    def all_below(pid: int) -> list[int]:
        return [found for child in started.get(pid, []) for found in (child, *all_below(child))]

    return {name: sorted(told[pid] for pid in all_below(live.pid(name))) for name in _NAMES}


def _work(live: LiveConsole, name: str, project: str) -> None:
    """What starts programs: commands and shells in a container, Compose, qemu-img, and the sweep."""
    for _ in range(_TIMES):
        done = live.api("POST", f"/compute/instances/{name}/exec", {"command": ["true"]})
        assert done.status_code == 200 and done.json()["exit_code"] == 0, done.text
        words = [Subprotocol("libgo.v1"), Subprotocol(f"bearer.{live.token()}")]
        url = f"ws://127.0.0.1:{live.port}/ws/v1/instances/{name}/exec?command=yes"
        with websockets.connect(url, subprotocols=words, proxy=None) as socket:
            socket.recv(timeout=20)
        compose = "services: {web: {image: 'libgo/demo:latest'}}\n"
        body = {"name": name, "compose": compose, "project": project}
        checked = live.api("POST", "/docker/stacks/validate", body)
        assert checked.status_code == 200 and checked.json()["valid"], checked.text


def test_no_process_collects_children(live: LiveConsole, name: str, world: World) -> None:
    config = {"image": "libgo/demo:latest", "network_mode": "none", "command": ["sleep", "600"]}
    live.create(name, "docker", config=config)
    machine = world.name("machine")
    assert world.a.machine(machine, auto_start=False).status_code == 201
    before = _below(live)
    _work(live, name, world.a.project)
    for image_format in ("qcow2", "raw"):
        asked = {"format": image_format}
        done = world.a.call("POST", f"/compute/instances/{machine}/export?wait=60", asked)
        assert done.status_code in (200, 201), done.text

    def more() -> dict[str, list[str]]:
        """Those that are there beside what was there before."""
        now = _below(live)
        return {word: now[word] for word in _NAMES if len(now[word]) > len(before[word])}

    until(lambda: not more(), "all children have ended and were taken leave of", 30)
    dead = [line for lines in _below(live).values() for line in lines if line.startswith("Z")]
    assert not dead, dead
