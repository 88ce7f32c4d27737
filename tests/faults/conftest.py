"""One engine of the tests' own for all faults, a stop watch, and what must hold after each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.engines import PrivateEngine
from tests.live import LiveConsole, until
from tests.reporter import MemoryReporter

Measured = Callable[[str, float], None]
_FINAL = {"succeeded", "failed", "cancelled", "interrupted"}


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def node(live: LiveConsole, engine: PrivateEngine) -> Iterator[str]:
    """The path of its node."""
    body = {"name": f"private-{os.getpid()}-{os.urandom(2).hex()}", "backend": "docker", "url": engine.url}
    made = live.api("POST", "/nodes", body)
    assert made.status_code == 201, made.text
    path = f"/nodes/{made.json()['id']}"
    until(lambda: live.get(path)["status"] == "online", "the node is online", 10)
    yield path
    live.api("DELETE", path)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """``measured("unreachable after", 1.234)``: a cell of the table."""
    times: dict[str, float] = {}
    request.node.user_properties.append(("measured", times))

    def note(name: str, seconds: float) -> None:
        times[name] = round(seconds, 1)

    return note


@pytest.fixture
def converged(live: LiveConsole, engine: PrivateEngine, node: str) -> Iterator[Callable[[], None]]:
    """Called by a test when it has broken and mended; called again when it ends."""

    def check() -> None:
        assert_converged(live, engine, node)

    yield check
    check()


def assert_converged(live: LiveConsole, engine: PrivateEngine, node: str) -> None:
    """Every operation has ended, the mirror is the engine's list, and the audit's chain holds."""
    until(lambda: not _open_operations(live), "every operation ends", 40)
    name = live.get(node)["name"]
    until(lambda: _mirror(live, name) == engine_list(engine), "the mirror is the engine's list", 20)
    verdict = live.get("/audit/verify")
    assert verdict["holds"], verdict


def engine_list(engine: PrivateEngine) -> dict[str, str]:
    """Name to state, as the engine itself says."""
    backend = DockerBackend(NodeConfig("look", "look", "docker", engine.url))
    try:
        return {info.name: str(info.state) for info in backend.instance_list()}
    finally:
        backend.close()


def _mirror(live: LiveConsole, node: str) -> dict[str, str]:
    rows = live.get(f"/compute/instances?node={node}&page_size=500")["instances"]
    assert not any(row["active_operation"] for row in rows)
    return {row["name"]: row["state"] for row in rows}


def _open_operations(live: LiveConsole) -> list[Any]:
    rows = live.get("/operations?page_size=200")["items"]
    return [row for row in rows if row["state"] not in _FINAL]
