"""A VM moves between two real hosts: its guest goes on counting, and there is one copy at every end."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import libvirt
import pytest

from compute.backends.capabilities import Capability
from compute.backends.types import InstanceSpec, MigrateSpec, NodeConfig, Resources
from compute.errors import ComputeError, OperationCancelled
from compute.states import InstanceState, InstanceType
from kvm.backend import KvmBackend
from kvm.engine.domains import lookup
from tests.faults.catalogue import fault
from tests.hosts import LibvirtHost
from tests.live import strain, until
from tests.reporter import MemoryReporter

OPTIONS = {"virt_type": "qemu", "pool_name": "default", "network_name": "default"}
_MIB = 1024**2


@pytest.fixture(scope="module")
def here(engines: None) -> Iterator[KvmBackend]:
    made = KvmBackend(NodeConfig("t-here", "here", "kvm", "qemu:///system", OPTIONS))
    yield made
    made.close()


@pytest.fixture(scope="module")
def there(far: LibvirtHost) -> Iterator[KvmBackend]:
    made = KvmBackend(NodeConfig("t-there", "there", "kvm", far.tcp_url, OPTIONS))
    yield made
    made.close()


class Machine:
    """A VM made by the backend, and how it is moved."""

    def __init__(self, here: KvmBackend, there: KvmBackend, *, auto_start: bool = True) -> None:
        self.here, self.there = here, there
        self.id = str(uuid.uuid4())
        self.spec = InstanceSpec(
            name=f"libgo-t-{self.id[:8]}",
            type=InstanceType.VM,
            instance_id=self.id,
            operation_id=str(uuid.uuid4()),
            project_id=str(uuid.uuid4()),
            config=KvmBackend.config_validate(
                {"image": "libgo-demo", "network": "none", "autostart": True}, allow_root_equivalent=False
            ),
            resources=Resources(memory_bytes=160 * _MIB),
            auto_start=auto_start,
        )
        here.instance_create(self.spec, MemoryReporter())

    def move(self, *, back: bool = False, report: MemoryReporter | None = None, speed: int = 0) -> None:
        source, target = (self.there, self.here) if back else (self.here, self.there)
        plan = source.migrate_plan(self.id, target, MigrateSpec(True, speed))
        assert all(check.ok for check in plan.checks), plan.checks
        source.instance_migrate(self.id, target, plan.ref, report or MemoryReporter())

    def copies(self) -> list[str]:
        return [side.node.name for side in (self.here, self.there) if self.on(side)]

    def on(self, side: KvmBackend) -> bool:
        return self.id in [info.engine_id for info in side.instance_list()]

    def gone(self) -> None:
        for side in (self.there, self.here):
            side.instance_delete(self.id, keep_storage=False, report=MemoryReporter())


@pytest.fixture
def stopped(here: KvmBackend, there: KvmBackend) -> Iterator[Machine]:
    machine = Machine(here, there, auto_start=False)
    yield machine
    machine.gone()


@pytest.fixture(scope="module")
def counting(here: KvmBackend, there: KvmBackend) -> Iterator[Machine]:
    """Its guest counts on its console, ten times a second."""
    machine = Machine(here, there)
    try:
        with Serial(here, machine.id) as serial:
            serial.heard(r"# ")
            serial.say("n=0; while :; do n=$((n+1)); echo count=$n=; usleep 100000; done\n")
            serial.heard(r"count=5=")
        yield machine
    finally:
        machine.gone()


class Serial:
    """The serial console of a VM, as libvirt gives it."""

    def __init__(self, side: KvmBackend, engine_id: str) -> None:
        self._conn = side._connection.open()
        self._engine_id, self._text = engine_id, ""

    def __enter__(self) -> Serial:
        self._stream = self._conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
        domain = lookup(self._conn, self._engine_id)
        domain.openConsole(None, self._stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.abort()

    def say(self, text: str) -> None:
        self._stream.send(text.encode())

    def heard(self, pattern: str, within_s: float = 90) -> str:
        def found() -> bool:
            piece = self._stream.recv(65536)
            if isinstance(piece, bytes):
                self._text += piece.decode("utf-8", "replace")
            return re.search(pattern, self._text) is not None

        until(found, f"the console says {pattern}", within_s)
        match = re.search(pattern, self._text)
        assert match
        return match[0]


def _count(side: KvmBackend, engine_id: str) -> int:
    """What the guest has reached now."""
    with Serial(side, engine_id) as serial:
        return int(serial.heard(r"count=\d+=\r").split("=")[1])


def test_the_count_goes_on(counting: Machine, far: LibvirtHost) -> None:
    assert Capability.MIGRATE in counting.there.probe().capabilities
    before = _count(counting.here, counting.id)
    report = MemoryReporter()
    counting.move(report=report, speed=24 * _MIB)
    assert counting.copies() == ["there"]
    after = _count(counting.there, counting.id)
    assert before < after < before + 600, "it went on where it was, it did not start anew"
    info = counting.there.instance_get(counting.id)
    assert info.state == InstanceState.RUNNING and info.project_id == counting.spec.project_id
    domain = lookup(counting.there._connection.open(), counting.id)
    assert domain.isPersistent() and domain.autostart()
    assert any("Moving its memory" in line for line in report.lines), report.lines
    counting.move(back=True)
    assert counting.copies() == ["here"] and _count(counting.here, counting.id) > after


class CancelHalfway(MemoryReporter):
    """Somebody presses Cancel once memory flows."""

    def progress(self, percent: float, step: str) -> None:
        super().progress(percent, step)
        if "Moving its memory" in step:
            raise OperationCancelled("The operation was cancelled.")


@fault(
    "F45 (part)",
    "a migration is cancelled while memory flows",
    sees="it is cancelled",
    keeps="the guest, in one place, which runs on",
)
def test_cancelled_halfway_it_stays(counting: Machine) -> None:
    before = _count(counting.here, counting.id)
    with pytest.raises(OperationCancelled):
        counting.move(report=CancelHalfway(), speed=2 * _MIB)
    outcome = counting.here.migrate_settle(counting.id, counting.there, _ref())
    assert not outcome.moved and counting.copies() == ["here"]
    assert _count(counting.here, counting.id) > before


def test_settling_ends_a_move_that_nobody_leads_any_more(counting: Machine) -> None:
    """As when a worker is lost, and another process takes its operation over while libvirt goes on."""
    failed: list[ComputeError] = []

    def lead() -> None:
        try:
            counting.move(speed=2 * _MIB)
        except ComputeError as error:
            failed.append(error)

    leader = threading.Thread(target=lead)
    leader.start()
    until(lambda: counting.on(counting.there), "the move has begun", 20)
    assert not counting.here.migrate_settle(counting.id, counting.there, _ref()).moved
    leader.join(30)
    assert failed and counting.copies() == ["here"]
    assert counting.here.instance_get(counting.id).state == InstanceState.RUNNING


def test_off_it_moves_at_once(stopped: Machine) -> None:
    began = time.monotonic()
    stopped.move()
    assert stopped.copies() == ["there"] and time.monotonic() - began < 5 * strain()
    info = stopped.there.instance_get(stopped.id)
    assert info.state == InstanceState.STOPPED
    assert stopped.there.migrate_settle(stopped.id, stopped.here, {**_ref(), "live": False}).moved is False
    stopped.move(back=True)
    assert stopped.copies() == ["here"]


def test_what_speaks_against_it_is_said_before(stopped: Machine, far: LibvirtHost, there: KvmBackend) -> None:
    def wrong(target: KvmBackend) -> dict[str, str]:
        plan = stopped.here.migrate_plan(stopped.id, target, MigrateSpec(False))
        return {check.name: check.text for check in plan.checks if not check.ok}

    same = KvmBackend(replace(there.node, url="qemu+unix:///system?socket=/run/libvirt/libvirt-sock"))
    assert list(wrong(same)) == ["host"]
    same.close()
    domain = lookup(stopped.here._connection.open(), stopped.id)
    conn = far.connect()
    other = conn.defineXML(f"<domain type='qemu'><name>{stopped.spec.name}</name><memory>1024</memory>"
                           "<os><type>hvm</type></os></domain>")  # fmt: skip
    domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>", 0)
    try:
        problems = wrong(there)
        assert set(problems) == {"name", "state"}
        assert stopped.spec.name in problems["name"] and "snapshots" in problems["state"]
    finally:
        domain.snapshotLookupByName("s").delete(0)
        other.undefine()
        conn.close()
    assert wrong(there) == {}


def test_equal_names_are_no_shared_storage(stopped: Machine, short_folder: Any) -> None:
    """A host with a pool of the same name and path, but its own disk under it."""
    host = LibvirtHost(short_folder / "apart", "libgo-t-apart", shared=False)
    target = KvmBackend(NodeConfig("t-apart", "apart", "kvm", host.url, OPTIONS))
    try:
        host.start()
        plan = stopped.here.migrate_plan(stopped.id, target, MigrateSpec(False))
        problems = {check.name: check.text for check in plan.checks if not check.ok}
        assert set(problems) == {"storage"} and "not the same storage" in problems["storage"]
        names = [image.name for image in stopped.here.image_list()]
        assert not [name for name in names if name.startswith("libgo-probe-")], (
            "nothing is left of the looking"
        )
    finally:
        target.close()
        host.close()


def test_the_target_dies_halfway(counting: Machine, far: LibvirtHost) -> None:
    """Its power is cut, with all that came in: the machine goes on here."""
    before = _count(counting.here, counting.id)

    class CutHalfway(MemoryReporter):
        def progress(self, percent: float, step: str) -> None:
            super().progress(percent, step)
            if "Moving its memory" in step and far.process and far.process.poll() is None:
                far.kill()

    with pytest.raises(ComputeError):
        counting.move(report=CutHalfway(), speed=2 * _MIB)
    assert not counting.here.migrate_settle(counting.id, counting.there, _ref()).moved
    assert _count(counting.here, counting.id) > before
    far.start()
    assert not counting.here.migrate_settle(counting.id, counting.there, _ref()).moved
    assert counting.copies() == ["here"]


def _ref() -> dict[str, Any]:
    return {"live": True, "paused": False, "autostart": True, "name": "", "max_bytes_per_s": 0}
