"""What processes, engine and console, hold after many cycles of work is what they held before."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import websockets.sync.client as websockets
from websockets import Subprotocol

from tests.engines import PrivateEngine
from tests.faults.cases import QUIET
from tests.faults.catalogue import fault
from tests.faults.conftest import THREADS_OF_POOLS, Measured, engine_connections, held
from tests.live import LiveConsole, until

_CYCLES, _AT_ONCE, _MORE = 50, 5, 5
_SAYS = ["/bin/sh", "-c", "echo here; exec sleep 3600"]
_CONFIG = {**QUIET, "command": _SAYS}


@fault(
    "F38",
    f"{_CYCLES} times a container is made, used by exec, by a shell and for its log, and removed",
    sees="nothing",
    keeps=f"files, threads, connections and exec sessions: as many as before, {_MORE} more at the most",
)
def test_fifty_cycles_leave_nothing_open(
    live: LiveConsole, engine: PrivateEngine, node: str, measured: Measured, converged: Callable[[], None]
) -> None:
    name = live.get(node)["name"]
    kept = live.create(f"libgo-t-kept{os.getpid()}", "docker", node=name, config=_CONFIG)
    live.token()

    def cycle(number: int) -> None:
        made = live.create(f"libgo-t-c{os.getpid()}-{number}", "docker", node=name, config=_CONFIG)
        answer = live.api("POST", f"/compute/instances/{kept['id']}/exec", {"command": ["true"]})
        assert answer.status_code == 200 and answer.json()["exit_code"] == 0, answer.text
        for path in (f"/instances/{kept['id']}/exec?command=yes", f"/instances/{made['id']}/logs?tail=5"):
            _look_in(live, path)
        answer = live.api("DELETE", f"/compute/instances/{made['id']}?force=true&wait=60")
        assert answer.status_code == 200, answer.text

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # The first fill pools.
        list(pool.map(cycle, range(2 * _AT_ONCE)))
        before = _open_things(live, engine, str(kept["engine_id"]))
        began = time.monotonic()
        list(pool.map(cycle, range(2 * _AT_ONCE, 2 * _AT_ONCE + _CYCLES)))
        measured(f"{_CYCLES} cycles took", time.monotonic() - began)

    def more() -> list[str]:
        now = _open_things(live, engine, str(kept["engine_id"]))
        return [f"{word}: {before[word]}, then {now[word]}" for word in now if _is_more(word, before, now)]

    with contextlib.suppress(AssertionError):
        until(lambda: not more(), "what was opened is closed", 20)
    assert not (found := more()), found
    answer = live.api("DELETE", f"/compute/instances/{kept['id']}?force=true&wait=60")
    assert answer.status_code == 200, answer.text


def _look_in(live: LiveConsole, path: str) -> None:
    """Open a socket, hear something, and leave without a word."""
    words = [Subprotocol("libgo.v1"), Subprotocol(f"bearer.{live.token()}")]
    url = f"ws://127.0.0.1:{live.port}/ws/v1{path}"
    with websockets.connect(url, subprotocols=words, proxy=None, open_timeout=60) as socket:
        socket.recv(timeout=60)


def _open_things(live: LiveConsole, engine: PrivateEngine, kept: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, (files, threads) in held(live).items():
        found[f"files of {name}"], found[f"threads of {name}"] = files, threads
        found[f"connections of {name}"] = engine_connections(live.pid(name))
    client = docker.APIClient(base_url=engine.url, version="1.41")
    found["exec sessions"] = len(client.inspect_container(kept)["ExecIDs"] or [])
    client.close()
    # Its ends of our connections are counted as ours.
    ours = sum(count for word, count in found.items() if word.startswith("connections"))
    found["files of the engine"] = len(list(Path(f"/proc/{engine.pid}/fd").iterdir())) - ours
    return found


def _is_more(word: str, before: dict[str, int], now: dict[str, int]) -> bool:
    start = max(before[word], THREADS_OF_POOLS) if word.startswith("threads") else before[word]
    return now[word] > start + _MORE
