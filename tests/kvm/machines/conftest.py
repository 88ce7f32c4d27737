"""Machines on the real libvirt: one booted guest for a whole module, others that never start."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from compute.backends.types import InstanceInfo, InstanceSpec, LogQuery, NodeConfig, Resources
from compute.errors import ComputeError
from compute.states import InstanceType
from kvm.backend import KvmBackend
from kvm.engine.device_xml import Element
from kvm.engine.domain_xml import parse
from kvm.engine.domains import lookup
from tests.kvm.conftest import OPTIONS
from tests.reporter import MemoryReporter

MIB = 1024**2
BOOT_WITHIN_S = 120


@dataclass
class Host:
    """The host, and what a test made on it."""

    backend: KvmBackend
    reports: list[MemoryReporter] = field(default_factory=list)

    def make(
        self,
        *,
        auto_start: bool = False,
        resources: Resources | None = None,
        admin: bool = True,
        **config: Any,
    ) -> InstanceInfo:
        wanted = {"image": "libgo-demo", "network": "none", **config}
        if "networks" in config:
            del wanted["network"]
        checked = self.backend.config_validate(wanted, allow_root_equivalent=admin)
        name = f"libgo-t-{uuid.uuid4().hex[:8]}"
        ids = [str(uuid.uuid4()) for _ in range(3)]
        asked = resources or Resources(cpu_cores=1, memory_bytes=192 * MIB)
        spec = InstanceSpec(name, InstanceType.VM, *ids, checked, asked, {}, auto_start)
        return self.backend.instance_create(spec, self.report())

    def report(self) -> MemoryReporter:
        self.reports.append(MemoryReporter())
        return self.reports[-1]

    def xml(self, engine_id: str, flags: int = 0) -> Element:
        return self.backend._connection.call(lambda conn: parse(lookup(conn, engine_id).XMLDesc(flags)))

    def clean(self) -> None:
        """Newest first: a disk is unplugged before its machine goes."""
        for report in reversed(self.reports):
            for step in reversed(report.steps):
                with contextlib.suppress(ComputeError):
                    self.backend.undo(step)
        self.reports.clear()


def until(true: Callable[[], Any], what: str, within_s: float = 30) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.1)
    return found


def booted(backend: KvmBackend, engine_id: str) -> None:
    def is_up() -> bool:
        lines = backend.logs_read(engine_id, LogQuery(tail=None))
        return any("LIBGO GUEST UP" in line.text for line in lines)

    until(is_up, "the guest is up", BOOT_WITHIN_S)


def _host() -> Host:
    return Host(KvmBackend(NodeConfig("t-machines", "kvm", "kvm", "qemu:///system", OPTIONS)))


@pytest.fixture
def host(engines: None) -> Iterator[Host]:
    made = _host()
    yield made
    made.clean()
    made.backend.close()


@pytest.fixture(scope="module")
def running(engines: None) -> Iterator[tuple[Host, str]]:
    """A guest that is up, with room for more CPUs and memory, on no network."""
    made = _host()
    try:
        info = made.make(auto_start=True, max_vcpus=4, max_memory=384 * MIB)
        booted(made.backend, info.engine_id)
        yield made, info.engine_id
    finally:
        made.clean()
        made.backend.close()
