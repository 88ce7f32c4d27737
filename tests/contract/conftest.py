"""Every backend the contract suite runs over, each with a node, an image and a clean end."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from compute.backends.base import Backend
from compute.backends.fake import FakeBackend
from compute.backends.types import InstanceInfo, InstanceSpec, NodeConfig, Resources
from compute.errors import ComputeError
from compute.states import InstanceType
from dockerapp.backend import DockerBackend
from kvm.backend import KvmBackend
from kvm.engine.domain_xml import volume_xml
from kvm.engine.storage import volume_or_none
from tests.engines import PodmanEngine
from tests.reporter import MemoryReporter


@dataclass
class Subject:
    """A backend under test and what was made in it."""

    backend: Backend
    kind: InstanceType
    config: dict[str, Any]
    run_id: str
    memory_bytes: int = 128 * 1024**2
    # Whatever is asked of it, nobody inside takes time or refuses.
    has_no_guest: bool = False
    made: list[MemoryReporter] = field(default_factory=list)

    def spec(self, name: str = "", **changes: Any) -> InstanceSpec:
        wanted: dict[str, Any] = {
            "name": name or f"libgo-t-{uuid.uuid4().hex[:8]}",
            "type": self.kind,
            "instance_id": str(uuid.uuid4()),
            "operation_id": str(uuid.uuid4()),
            "project_id": str(uuid.uuid4()),
            "config": self.backend.config_validate(self.config, allow_root_equivalent=False),
            "resources": Resources(cpu_cores=1, memory_bytes=self.memory_bytes),
            "labels": {"libgo.test": self.run_id},
        }
        return InstanceSpec(**{**wanted, **changes})

    def create(self, spec: InstanceSpec | None = None, report: MemoryReporter | None = None) -> InstanceInfo:
        reporter = report or MemoryReporter()
        self.made.append(reporter)
        return self.backend.instance_create(spec or self.spec(), reporter)

    def undo(self, report: MemoryReporter) -> None:
        for step in reversed(report.steps):
            self.backend.undo(step)

    def clean(self) -> None:
        for report in self.made:
            with contextlib.suppress(ComputeError):
                self.undo(report)
        self.backend.close()


def _docker(run_id: str) -> Subject:
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    backend = DockerBackend(NodeConfig(id="contract-docker", name="docker", backend="docker", url=url))
    image = backend.demo_image_make(MemoryReporter())
    return Subject(backend, InstanceType.CONTAINER, {"image": image, "network_mode": "none"}, run_id)


def _fake(run_id: str) -> Subject:
    backend = FakeBackend(NodeConfig(id=uuid.uuid4().hex, name="fake", backend="fake", url="fake://"))
    return Subject(backend, InstanceType.CONTAINER, {"image": "demo"}, run_id)


def _kvm(run_id: str) -> Subject:
    """Real QEMU, without acceleration: the same on every machine."""
    options = {"virt_type": "qemu", "pool_name": "default", "network_name": "default"}
    node = NodeConfig(id="contract-kvm", name="kvm", backend="kvm", url="qemu:///system", options=options)
    backend = KvmBackend(node)
    image = backend.demo_image_make(MemoryReporter())
    return Subject(backend, InstanceType.VM, {"image": image, "network": "none"}, run_id)


def _libvirt_test(run_id: str) -> Subject:
    """libvirt's own test driver: no guests, but the whole life cycle of domains."""
    options = {"pool_name": "default-pool", "network_name": "default"}
    node = NodeConfig(id="contract-test", name="test", backend="kvm", url="test:///default", options=options)
    backend = KvmBackend(node)
    backend._connection.call(_test_image_make)
    config = {"image": "template", "network": "none"}
    return Subject(backend, InstanceType.VM, config, run_id, has_no_guest=True)


def _test_image_make(conn: Any) -> None:
    pool = conn.storagePoolLookupByName("default-pool")
    if volume_or_none(pool, "template") is None:
        pool.createXML(volume_xml("template", 1024**2, "raw"), 0)


_SUBJECTS = {"fake": _fake, "docker": _docker, "libvirt-test": _libvirt_test, "kvm": _kvm}


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodmanEngine]:
    engine = PodmanEngine(tmp_path_factory.mktemp("podman"))
    engine.start()
    yield engine
    engine.close()


def _podman(run_id: str, engine: PodmanEngine) -> Subject:
    """Podman's service for Docker's clients: the same backend, fewer capabilities."""
    backend = DockerBackend(NodeConfig(id="contract-podman", name="podman", backend="docker", url=engine.url))
    image = backend.demo_image_make(MemoryReporter())
    return Subject(backend, InstanceType.CONTAINER, {"image": image, "network_mode": "none"}, run_id)


def subject_make(request: pytest.FixtureRequest, run_id: str) -> Subject:
    """The subject that ``request.param`` names; Podman is started when it is first asked for."""
    if request.param == "podman":
        return _podman(run_id, request.getfixturevalue("podman"))
    return _SUBJECTS[request.param](run_id)


@pytest.fixture(params=[*_SUBJECTS, "podman"])
def subject(request: pytest.FixtureRequest, run_id: str, engines: None) -> Iterator[Subject]:
    made = subject_make(request, run_id)
    yield made
    made.clean()


@pytest.fixture
def report() -> MemoryReporter:
    return MemoryReporter()
