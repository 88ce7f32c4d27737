"""Containers and machines made beside LibGo, by the engines' own clients."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import docker
import libvirt

from tests.people import DEMO

_MACHINE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"""


@dataclass
class Outside:
    """``word`` begins the names of all that is made, so that a rule or a filter reaches nothing else."""

    word: str
    run: str
    _containers: list[str] = field(default_factory=list)
    _machines: list[str] = field(default_factory=list)

    def container(self, name: str, **labels: str) -> str:
        """Runs; the name that it has."""
        client = docker.from_env(timeout=30)
        made = client.containers.run(
            DEMO,
            ["sleep", "600"],
            detach=True,
            name=f"{self.word}-{name}",
            labels={"libgo.test": self.run, **labels},
            network_mode="none",
            stop_signal="SIGKILL",
        )
        self._containers.append(made.id)
        client.close()
        return f"{self.word}-{name}"

    def machine(self, name: str) -> str:
        """Is defined and off; the name that it has."""
        conn = libvirt.open("qemu:///system")
        conn.defineXML(_MACHINE.format(name=f"{self.word}-{name}"))
        self._machines.append(f"{self.word}-{name}")
        conn.close()
        return f"{self.word}-{name}"

    def clean(self) -> None:
        client = docker.from_env(timeout=30)
        for engine_id in self._containers:
            with suppress(docker.errors.NotFound):
                client.containers.get(engine_id).remove(force=True)
        client.close()
        conn = libvirt.open("qemu:///system")
        for name in self._machines:
            with suppress(libvirt.libvirtError):
                conn.lookupByName(name).undefine()
        conn.close()


@contextmanager
def outside_of(run: str) -> Iterator[Outside]:
    made = Outside(f"libgo-t-{uuid.uuid4().hex[:8]}", run)
    try:
        yield made
    finally:
        made.clean()
