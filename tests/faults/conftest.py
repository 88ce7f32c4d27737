"""One engine of the tests' own for all faults, a stop watch, and what must hold after each of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.engines import PrivateEngine
from tests.faults.shaky import Shaky
from tests.faulty import FaultyProxy, faulty_port
from tests.hosts import LibvirtHost
from tests.live import ENDED, LiveConsole, until
from tests.postgres_server import PostgresServer
from tests.reporter import MemoryReporter

Measured = Callable[[str, float], None]
# What a process may hold more of than before.
_MORE = 10
# How many threads its pools may come to have: of the web process 16 that answer, 4 that wait for the ends of
# operations, 6 of the event loop's own.
THREADS_OF_POOLS = 26
# Of the hasty console: how long it waits for an engine, and for a pull that stands still.
DEADLINE_S, STALL_S = 4, 6


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    private = PrivateEngine(tmp_path_factory.mktemp("engine"))
    private.start()
    backend = DockerBackend(NodeConfig("private", "private", "docker", private.url))
    backend.demo_image_make(MemoryReporter())
    yield private
    for info in backend.instance_list():
        backend.instance_delete(info.engine_id, keep_storage=False, report=MemoryReporter())
    backend.close()
    private.close()


@pytest.fixture(autouse=True)
def started_again(request: pytest.FixtureRequest) -> Iterator[None]:
    """An engine that many tests share runs for the next one, although this one failed while it was down."""
    words = [word for word in ("engine", "host") if word in request.fixturenames]
    shared: list[PrivateEngine | LibvirtHost] = [request.getfixturevalue(word) for word in words]
    yield
    for one in shared:
        if not one.runs:
            one.start()


@pytest.fixture(scope="package")
def hasty(engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveConsole]:
    """A console that waits for its engines no longer than tests want to."""
    waits = {
        "LIBGO_DOCKER_REQUEST_TIMEOUT": f"{DEADLINE_S}s",
        "LIBGO_DOCKER_CONNECTION_TIMEOUT": "3s",
        "LIBGO_DOCKER_STALL_TIMEOUT": f"{STALL_S}s",
    }
    console = LiveConsole(tmp_path_factory.mktemp("hasty"), **waits)
    try:
        yield console.start()
    finally:
        console.stop()


@pytest.fixture(scope="package")
def node(live: LiveConsole, engine: PrivateEngine) -> Iterator[str]:
    """The path of its node."""
    with node_added(live, engine.url) as path:
        yield path


@contextlib.contextmanager
def node_added(live: LiveConsole, url: str, **more: Any) -> Iterator[str]:
    """A node of this address that is online; its path."""
    name = f"private-{os.getpid()}-{os.urandom(2).hex()}"
    made = live.api("POST", "/nodes", {"name": name, "backend": "docker", "url": url, **more})
    assert made.status_code == 201, made.text
    path = f"/nodes/{made.json()['id']}"
    try:
        until(lambda: live.get(path)["status"] == "online", "the node is online", 10)
        yield path
    finally:
        live.api("DELETE", path)


@pytest.fixture(scope="package")
def shaky_console(engines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shaky]:
    with Shaky(tmp_path_factory.mktemp("shaky")).running() as made:
        yield made


@pytest.fixture
def shaky(shaky_console: Shaky) -> Iterator[Shaky]:
    """One console for all faults of its own processes and broker; what a test makes on it goes with it."""
    yield shaky_console
    shaky_console.points.set()
    if not shaky_console.broker.runs:
        shaky_console.broker.start()
    shaky_console.gone()


@contextlib.contextmanager
def far_node(live: LiveConsole, way: FaultyProxy) -> Iterator[str]:
    """A node at the other end of a way; the name it has."""
    with node_added(live, f"tcp://127.0.0.1:{way.port}", insecure=True) as path:
        yield str(live.get(path)["name"])


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path that other users may enter."""
    folder = Path(tempfile.mkdtemp(prefix="libgo-t-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(short: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(short / "postgres")
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def way(engine: PrivateEngine) -> Iterator[FaultyProxy]:
    """To the engine."""
    made = faulty_port(engine.socket)
    yield made
    made.close()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """``measured("unreachable after", 1.234)``: a cell of the table."""
    times: dict[str, float] = {}
    request.node.user_properties.append(("measured", times))

    def note(name: str, seconds: float) -> None:
        times[name] = round(seconds, 1)

    return note


@dataclass(frozen=True)
class Before:
    """Of a console before something is broken: what its processes hold, and how long its logs are."""

    held: dict[str, tuple[int, int]]
    logs: dict[Path, int]


@pytest.fixture
def converged(live: LiveConsole, engine: PrivateEngine, node: str) -> Iterator[Callable[[], None]]:
    """Called by a test when it has broken and mended; called again when it ends."""
    before = Before(held(live), {file: file.stat().st_size for file in _logs(live)})

    def check() -> None:
        assert_converged(live, engine, node, before)

    yield check
    check()


def assert_converged(live: LiveConsole, engine: PrivateEngine, node: str, before: Before) -> None:
    """Every operation has ended, the mirror is the engine's list, what is counted against limits is what
    exists, the audit's chain holds, no process keeps what it opened, and no log tells of a crash."""
    until(lambda: not _open_operations(live), "every operation ends", 40)
    name = live.get(node)["name"]
    until(lambda: mirror(live, name) == engine_list(engine), "the mirror is the engine's list", 20)
    until(
        lambda: _counted(live) == _there(live, engine, name), "what counts against limits is what exists", 10
    )
    verdict = live.get("/audit/verify")
    assert verdict["holds"], verdict
    with contextlib.suppress(AssertionError):
        until(lambda: not _grown(before.held, held(live)), "what was opened is closed", 20)
    assert not (grown := _grown(before.held, held(live))), grown
    assert not (told := _crashes(live, before.logs)), told


def held(live: LiveConsole) -> dict[str, tuple[int, int]]:
    """By process, how many files and threads it has. Left out is what pools fill as they are needed: the
    connections that each of their threads has to the database, and those to engines (32 each at most)."""
    found = {}
    for name in ("web", "worker", "watcher"):
        place, pid = Path(f"/proc/{live.pid(name)}"), live.pid(name)
        files = [target for link in (place / "fd").iterdir() if (target := _target(link))]
        files = [target for target in files if "libgo.sqlite3" not in target]
        found[name] = (len(files) - engine_connections(pid), len(list((place / "task").iterdir())))
    return found


def engine_connections(pid: int) -> int:
    """How many of its connections lead to a Docker engine's socket, or led to one that is gone: a pool drops
    these when it comes upon them."""
    told = subprocess.run(["ss", "-xpaH"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in told.splitlines()]
    engines = {row[5] for row in rows if len(row) > 7 and row[4].endswith("docker.sock")}
    mine = [row for row in rows if len(row) > 8 and row[1] != "LISTEN" and f"pid={pid}," in row[8]]
    return sum(row[7] in engines or row[7] == "0" for row in mine)


def _target(link: Path) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(link)
    return ""


def _grown(before: dict[str, tuple[int, int]], now: dict[str, tuple[int, int]]) -> list[str]:
    """What a process holds ten more of than before, its pool of threads not counted."""
    found = []
    for name, (files, threads) in now.items():
        files_before, threads_before = before[name]
        if files > files_before + _MORE or threads > max(threads_before, THREADS_OF_POOLS) + _MORE:
            found.append(f"{name}: {before[name]} files and threads before, {now[name]} now")
    return found


def _logs(live: LiveConsole) -> list[Path]:
    return sorted((live.var / "logs").glob("*.log"))


def _crashes(live: LiveConsole, before: dict[Path, int]) -> str:
    """The first traceback in what was logged since."""
    for file in _logs(live):
        with file.open("rb") as log:
            log.seek(before.get(file, 0))
            text = log.read().decode(errors="replace")
        if "Traceback" in text:
            return f"{file.name}: {text[max(0, text.index('Traceback') - 300) :][:3000]}"
    return ""


def _counted(live: LiveConsole) -> tuple[int, int]:
    """Instances and their memory, as the site's limits count them."""
    usage = live.get("/compute/limits")["usage"]
    return usage["instances"], usage["memory_bytes"]


def _there(live: LiveConsole, engine: PrivateEngine, node: str) -> tuple[int, int]:
    """The same, as this engine itself says and as the mirror has it of the others."""
    assumed = live.get("/compute/limits")["assumed_memory_bytes"]
    rows = live.get("/compute/instances?page_size=500")["instances"]
    sizes = [row["resources"]["memory"]["limit"] for row in rows if row["node"]["name"] != node]
    with asked(engine) as backend:
        infos = [backend.instance_get(info.engine_id) for info in backend.instance_list()]
    sizes += [info.memory_bytes for info in infos]
    return len(sizes), sum(size or assumed for size in sizes)


@contextlib.contextmanager
def asked(engine: PrivateEngine) -> Iterator[DockerBackend]:
    """The engine behind the console's back."""
    backend = DockerBackend(NodeConfig("look", "look", "docker", engine.url))
    try:
        yield backend
    finally:
        backend.close()


def engine_list(engine: PrivateEngine) -> dict[str, str]:
    """Name to state, as the engine itself says."""
    with asked(engine) as backend:
        return {info.name: str(info.state) for info in backend.instance_list()}


def mirror(live: LiveConsole, node: str) -> dict[str, str]:
    rows = live.get(f"/compute/instances?node={node}&page_size=500")["instances"]
    assert not any(row["active_operation"] for row in rows)
    return {row["name"]: row["state"] for row in rows}


def ended_of(live: LiveConsole, answer: requests.Response, within_s: float = 60) -> dict[str, Any]:
    """The operation of this answer, once it is over; its ``state`` and ``error`` of what was refused."""
    if answer.status_code >= 400:
        return {"state": "failed", "error": answer.json()["error"]}
    is_file = "json" not in answer.headers["Content-Type"]
    if is_file or "operation" not in answer.json():
        return {"state": "succeeded", "error": None}
    path = f"/operations/{answer.json()['operation']['id']}"
    until(lambda: live.get(path)["state"] in ENDED, "the operation ends", within_s)
    return dict(live.get(path))


def _open_operations(live: LiveConsole) -> list[Any]:
    rows = live.get("/operations?page_size=200")["items"]
    return [row for row in rows if row["state"] not in ENDED]


@contextlib.contextmanager
def lists_timed(live: LiveConsole) -> Iterator[list[float]]:
    """How long each list took meanwhile."""
    times: list[float] = []
    over = threading.Event()
    token = live.token()

    def ask() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{live.url}/api/v1/compute/instances?page_size=500"
        while not over.wait(0.1):
            began = time.monotonic()
            assert requests.get(url, headers=headers, timeout=30).ok
            times.append(time.monotonic() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield times
    finally:
        over.set()
        asking.join()
