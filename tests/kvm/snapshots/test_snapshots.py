"""Snapshots of real machines: what was written since is gone after a restore, and nothing is left over."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from compute.backends.types import SnapshotSpec
from compute.errors import InvalidState, NameConflict, OperationNotSupported, SnapshotNotFound
from compute.states import InstanceState
from kvm.backend import KvmBackend
from kvm.engine.domain_xml import parse
from kvm.engine.domains import lookup
from kvm.engine.layers import own_disks
from tests.kvm.guest import Guest, spec_of, volumes_of
from tests.reporter import MemoryReporter


def _wanted(guest: Guest, name: str, **more: Any) -> SnapshotSpec:
    ids = {"instance_id": guest.spec.instance_id, "project_id": guest.spec.project_id}
    return SnapshotSpec(name=name, operation_id=str(uuid.uuid4()), **ids, **more)


def _take(guest: Guest, name: str, **more: Any) -> Any:
    return guest.backend.snapshot_create(guest.engine_id, _wanted(guest, name, **more), MemoryReporter())


def _restore(guest: Guest, name: str) -> Any:
    return guest.backend.snapshot_restore(guest.engine_id, _wanted(guest, name), MemoryReporter())


def _delete(guest: Guest, name: str) -> None:
    guest.backend.snapshot_delete(guest.engine_id, guest.spec.instance_id, name, MemoryReporter())


def _list(guest: Guest) -> list[Any]:
    return guest.backend.snapshot_list(guest.engine_id, guest.spec.instance_id)


def _off(guest: Guest) -> None:
    guest.close()
    guest.backend.instance_stop(guest.engine_id, timeout_s=0, force=True, report=MemoryReporter())


def _on(guest: Guest) -> None:
    guest.backend.instance_start(guest.engine_id, MemoryReporter())
    guest.booted()


@pytest.fixture
def guest(backend: KvmBackend) -> Iterator[Guest]:
    made = Guest(backend, spec_of(backend))
    yield made
    made.gone()
    assert volumes_of(backend, made.spec.instance_id) == []


def test_a_running_machine_goes_back_to_the_very_moment_and_runs_on(guest: Guest) -> None:
    guest.booted()
    guest.run("echo before > /data/word; sync; X=remembered")
    first = _take(guest, "first", description="a <b> & “c”")
    assert (first.state, first.kind, first.has_memory, first.is_current) == (
        "running",
        "internal",
        True,
        True,
    )
    guest.run("echo after > /data/word; sync; X=changed")
    second = _take(guest, "second")
    assert (second.parent, first.description) == ("first", "a <b> & “c”")
    with pytest.raises(NameConflict):
        _take(guest, "first")
    for refused in ({"include_memory": False}, {"quiesce": True}):
        with pytest.raises(OperationNotSupported, match="inside its disks"):
            _take(guest, "third", **refused)
    info = _restore(guest, "first")
    assert info.state == InstanceState.RUNNING
    guest.open()
    assert guest.run("cat /data/word; echo $X").split() == ["before", "remembered"]
    assert [(item.name, item.is_current) for item in _list(guest)] == [("first", True), ("second", False)]
    _delete(guest, "first")
    assert [(item.name, item.parent) for item in _list(guest)] == [("second", "")]
    with pytest.raises(SnapshotNotFound):
        _restore(guest, "first")
    _delete(guest, "first")


def test_disks_alone_are_frozen_and_gone_back_to_while_it_is_off(guest: Guest) -> None:
    """The external kind: a tree of two branches, then the layers that nothing needs are merged."""
    guest.booted()
    guest.run("echo one > /data/word; sync")
    kept = _take(guest, "one", include_memory=False)
    assert (kept.kind, kept.has_memory, kept.state) == ("external", False, "stopped")
    guest.run("echo two > /data/word; sync")
    _take(guest, "two")
    guest.run("echo three > /data/word; sync")
    assert [bool(item.no_restore) for item in _list(guest)] == [True, True]
    with pytest.raises(InvalidState, match="Stop it first"):
        _restore(guest, "one")
    with pytest.raises(OperationNotSupported, match="memory cannot be kept"):
        _take(guest, "x", include_memory=True)
    _off(guest)
    _restore(guest, "one")
    _on(guest)
    assert guest.run("cat /data/word") == "one"
    guest.run("echo branch > /data/word; sync")
    branch = _take(guest, "branch")
    assert branch.parent == "one"
    guest.run("echo last > /data/word; sync")
    for name in ("one", "branch", "two"):
        _delete(guest, name)
    assert guest.run("cat /data/word") == "last"
    left = [name for name in volumes_of(guest.backend, guest.spec.instance_id) if not name.endswith(".iso")]
    assert left == [f"libgo-vm-{guest.spec.instance_id}.disk"], "every layer was merged down"
    assert _list(guest) == []


def test_a_firmware_with_variables_of_its_own_gets_the_external_kind(backend: KvmBackend) -> None:
    spec = spec_of(backend, config={"firmware": "uefi"}, auto_start=False)
    guest = Guest(backend, spec)
    try:
        with pytest.raises(OperationNotSupported, match="UEFI"):
            _take(guest, "a", include_memory=True)
        assert _take(guest, "a").kind == "external"
        _restore(guest, "a")
        xml = backend._connection.call(lambda conn: lookup(conn, guest.engine_id).XMLDesc(0))
        assert ".snap-a.vda." in own_disks(parse(xml))[0].path
        assert len(volumes_of(backend, spec.instance_id)) == 3, "the overlay that nobody needs is gone"
    finally:
        guest.gone()
    assert volumes_of(backend, spec.instance_id) == []


def test_a_taken_step_is_taken_back_and_an_older_snapshot_of_that_name_stays(guest: Guest) -> None:
    report = MemoryReporter()
    guest.backend.snapshot_create(guest.engine_id, _wanted(guest, "mine"), report)
    step = report.steps[-1]
    later = type(step)(step.kind, {**step.ref, "since": step.ref["since"] + 3600})
    guest.backend.undo(later)
    assert [item.name for item in _list(guest)] == ["mine"]
    for _ in range(2):
        guest.backend.undo(step)
    assert _list(guest) == []


@pytest.mark.parametrize("runs", [True, False])
def test_one_that_was_left_standing_goes_on_if_it_ran(guest: Guest, runs: bool) -> None:
    """The daemon stops a machine to write its memory; dead, it does not let it go on."""
    if not runs:
        guest.backend.instance_pause(guest.engine_id, MemoryReporter())
    report = MemoryReporter()
    guest.backend.snapshot_create(guest.engine_id, _wanted(guest, "cut"), report)
    if runs:
        guest.backend.instance_pause(guest.engine_id, MemoryReporter())
    guest.backend.undo(report.steps[-1])
    state = InstanceState.RUNNING if runs else InstanceState.PAUSED
    assert guest.backend.instance_get(guest.engine_id).state == state
    assert _list(guest) == []
