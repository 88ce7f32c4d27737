"""A booted guest of the demo image, spoken to over its serial console."""

from __future__ import annotations

import contextlib
import time
import uuid
from typing import Any

import libvirt

from compute.backends.types import InstanceInfo, InstanceSpec, Resources
from compute.states import InstanceType
from kvm.backend import KvmBackend
from kvm.engine.domains import lookup
from tests.live import strain
from tests.reporter import MemoryReporter

_MIB = 1024**2
_BOOT_S = 120
_WOULD_BLOCK = -2


def spec_of(backend: KvmBackend, name: str = "", **changes: Any) -> InstanceSpec:
    """A small machine without a NIC; ``config`` in ``changes`` is laid over."""
    config = {"image": "libgo-demo", "network": "none", "graphics": "none", **changes.pop("config", {})}
    wanted: dict[str, Any] = {
        "name": name or f"libgo-t-{uuid.uuid4().hex[:8]}",
        "type": InstanceType.VM,
        "instance_id": str(uuid.uuid4()),
        "operation_id": str(uuid.uuid4()),
        "project_id": str(uuid.uuid4()),
        "config": backend.config_validate(config, allow_root_equivalent=True),
        "resources": Resources(cpu_cores=1, memory_bytes=160 * _MIB),
        "labels": {"libgo.test": "kvm"},
    }
    return InstanceSpec(**{**wanted, **changes})


class Guest:
    """``run`` types a command and returns what it printed."""

    def __init__(self, backend: KvmBackend, spec: InstanceSpec) -> None:
        self.backend, self.spec = backend, spec
        self.report = MemoryReporter()
        self.info: InstanceInfo = backend.instance_create(spec, self.report)
        self._stream: libvirt.virStream | None = None
        self._said = ""

    @property
    def engine_id(self) -> str:
        return self.info.engine_id

    def open(self) -> None:
        """Take the console anew: after a start or a restore it is another one."""
        self.close()

        def method(conn: libvirt.virConnect) -> libvirt.virStream:
            stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
            lookup(conn, self.engine_id).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
            return stream

        self._stream, self._said = self.backend._connection.call(method), ""

    def wait_for(self, words: str, seconds: float = _BOOT_S, press: str = "") -> str:
        """What was said until ``words`` came; ``press`` is typed again every two seconds."""
        assert self._stream is not None
        deadline, pressed = time.monotonic() + seconds * strain(), 0.0
        while words not in self._said:
            now = time.monotonic()
            assert now < deadline, f"no “{words}” within {seconds} s; it said: {self._said[-600:]}"
            if press and now - pressed > 2:
                self._stream.send(press.encode())
                pressed = now
            piece = self._stream.recv(65536)
            if piece == _WOULD_BLOCK or not piece:
                time.sleep(0.02)
                continue
            assert isinstance(piece, bytes)
            self._said += piece.decode(errors="replace")
        before, _, self._said = self._said.partition(words)
        return before

    def booted(self) -> Guest:
        """At a prompt of its shell."""
        self.open()
        self.wait_for("READY-7", press="echo READY-$((3+4))\n")
        return self

    def run(self, command: str) -> str:
        assert self._stream is not None
        first, last = (uuid.uuid4().hex[:8] for _ in range(2))
        # Written apart, so that what the terminal echoes does not look like what the command printed.
        words = f"echo {first[:4]}''{first[4:]}; {command}; echo {last[:4]}''{last[4:]}\n"
        self._stream.send(words.encode())
        self.wait_for(first, 60)
        return self.wait_for(last, 60).replace("\r", "").strip()

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()

    def gone(self) -> None:
        self.close()
        self.backend.instance_delete(self.engine_id, keep_storage=False, report=MemoryReporter())
        for step in reversed(self.report.steps):
            self.backend.undo(step)


def volumes_of(backend: KvmBackend, instance_id: str) -> list[str]:
    """The names of everything in the pool that was made for it. Another test may be writing into the pool,
    which libvirt does not read anew meanwhile: what its jobs make and remove it knows by itself."""

    def method(conn: libvirt.virConnect) -> list[str]:
        pool = conn.storagePoolLookupByName("default")
        with contextlib.suppress(libvirt.libvirtError):
            pool.refresh(0)
        return sorted(name for name in pool.listVolumes() if instance_id in name)

    return backend._connection.call(method)
