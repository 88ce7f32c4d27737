"""A Docker engine that stops, hangs and returns, while everything else goes on.

The engine is a second one of the test's own, in its own network name space.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.engines import PrivateEngine
from tests.live import LiveConsole, until
from tests.reporter import MemoryReporter


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
    body = {"name": f"private-{os.getpid()}", "backend": "docker", "url": engine.url}
    made = live.api("POST", "/nodes", body)
    assert made.status_code == 201, made.text
    path = f"/nodes/{made.json()['id']}"
    until(lambda: live.get(path)["status"] == "online", "the node is online", 10)
    yield path
    live.api("DELETE", path)


def test_a_stopped_engine_marks_its_instances_refuses_quickly_and_all_is_true_again(
    live: LiveConsole, engine: PrivateEngine, node: str
) -> None:
    name = f"libgo-t-l{os.getpid()}"
    config = {"image": "libgo/demo:latest", "network_mode": "none"}
    live.create(name, "docker", node=live.get(node)["name"], config=config)
    engine.stop()
    until(lambda: live.get(node)["status"] == "unreachable", "the node is marked", 3)
    shown = live.get(f"/compute/instances/{name}")
    assert shown["stale"] and shown["state"] == "running" and "unreachable" in shown["status"]
    began = time.monotonic()
    refused = live.api("PUT", f"/compute/instances/{name}/restart?wait=10")
    took = time.monotonic() - began
    assert refused.status_code == 503 and refused.json()["error"]["code"] == "BACKEND_UNAVAILABLE"
    assert took < 2, f"the refusal took {took:.1f} s"
    assert live.get("/nodes/local-kvm")["status"] == "online", "KVM goes on"
    engine.start()
    back = until(lambda: not live.get(f"/compute/instances/{name}")["stale"], "true again", 6)
    assert back < 5
    until(lambda: live.get(f"/compute/instances/{name}")["state"] == "running", "still running", 3)
    removed = live.api("DELETE", f"/compute/instances/{name}?force=true&wait=30")
    assert removed.status_code == 200, removed.text


def test_a_hanging_engine_is_noticed_and_delays_nobody_else(
    live: LiveConsole, engine: PrivateEngine, node: str
) -> None:
    assert engine.process is not None
    engine.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert live.get("/compute/instances") is not None
        assert live.get("/compute/cluster/status")["backends"]["kvm"]["status"] == "healthy"
        assert time.monotonic() - began < 2
        until(lambda: live.get(node)["status"] == "unreachable", "the hang is noticed", 20)
    finally:
        engine.process.send_signal(signal.SIGCONT)
    until(lambda: live.get(node)["status"] == "online", "the node is back", 15)
