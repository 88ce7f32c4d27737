"""An engine that lets go of a network a moment after the last container on it has ended."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.backends.types import NodeConfig
from compute.errors import NetworkInUse
from dockerapp.backend import DockerBackend
from dockerapp.engine.stacks import StackSpec
from tests.dockerapp.stacks.conftest import three
from tests.faulty import FaultyProxy, Rule, faulty_port, refusal
from tests.live import strain
from tests.people import DEMO
from tests.reporter import MemoryReporter

_REMOVE = "DELETE .*/networks/"
_REFUSED = refusal(403, "error while removing network: network back id 1 has active endpoints")


@pytest.fixture
def way() -> Iterator[FaultyProxy]:
    made = faulty_port(Path("/var/run/docker.sock"))
    yield made
    made.close()


@pytest.fixture
def far(engines: None, way: FaultyProxy) -> Iterator[DockerBackend]:
    made = DockerBackend(NodeConfig("far", "far", "docker", f"tcp://127.0.0.1:{way.port}"))
    yield made
    made.close()


@pytest.fixture
def network(run_id: str) -> Iterator[str]:
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    words = ["docker", "network", "create", "--label", f"libgo.test={run_id}", name]
    subprocess.run(words, check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "network", "rm", name], check=False, capture_output=True)


def test_a_network_that_nobody_is_on_any_more_is_removed_a_moment_later(
    far: DockerBackend, way: FaultyProxy, network: str
) -> None:
    way.rules = [Rule(_REMOVE, answer=_REFUSED, times=3)]
    far.networks.remove(network)
    assert not far.networks.named(network)
    assert len([request for request in way.asked if request.startswith("DELETE")]) == 4


def test_a_network_with_a_running_container_on_it_is_refused_at_once(
    far: DockerBackend, network: str, run_id: str
) -> None:
    words = ["docker", "run", "-d", "--label", f"libgo.test={run_id}", "--network", network]
    words += ["--name", network, DEMO, "sleep", "60"]
    subprocess.run(words, check=True, capture_output=True)
    try:
        began = time.monotonic()
        with pytest.raises(NetworkInUse):
            far.networks.remove(network)
        assert time.monotonic() - began < 2 * strain()
    finally:
        subprocess.run(["docker", "rm", "-f", network], check=True, capture_output=True)


def test_a_stack_comes_down_whole_though_compose_gives_its_network_up(
    far: DockerBackend, way: FaultyProxy, run_id: str
) -> None:
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    checked = far.stacks.check(name, three(run_id), {}, is_admin=True)
    spec = StackSpec(name, uuid.uuid4().hex, uuid.uuid4().hex, checked.model or {}, [], {"side": 1})
    far.stacks.up(spec, MemoryReporter())
    try:
        # Compose tries once; the rest is asked by LibGo.
        way.rules = [Rule(_REMOVE, answer=_REFUSED, times=3)]
        far.stacks.down(spec, MemoryReporter(), volumes=True)
        assert way.rules[0].times == 0
        assert not far.networks.named(f"{name}_back") and not far.stacks.container_ids(spec.stack_id)
    finally:
        way.rules = []
        far.stacks.remove(name, spec.stack_id, spec.project_id, volumes=True)
