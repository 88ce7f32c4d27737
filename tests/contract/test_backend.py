"""The postconditions of ``Backend``, the same cases over every engine."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from compute.backends.base import Backend
from compute.backends.capabilities import Capability
from compute.backends.types import EngineEvent, Resources, StorageJoin
from compute.errors import (
    ImageNotFound,
    InstanceNotFound,
    InvalidInput,
    InvalidState,
    NameConflict,
    NotFound,
    OperationCancelled,
    OperationNotSupported,
)
from compute.states import InstanceState
from tests.contract.conftest import Subject
from tests.live import strain
from tests.reporter import MemoryReporter

RUNNING, STOPPED, PAUSED = InstanceState.RUNNING, InstanceState.STOPPED, InstanceState.PAUSED


def test_probe_tells_what_the_engine_is(subject: Subject) -> None:
    info = subject.backend.probe()
    assert info.version and info.cpu_cores >= 1 and info.memory_bytes > 0
    assert info.capabilities <= subject.backend.capabilities


def test_a_created_instance_runs_carries_its_marks_and_is_listed(subject: Subject) -> None:
    spec = subject.spec()
    info = subject.create(spec)
    assert (info.name, info.state, info.type) == (spec.name, RUNNING, spec.type)
    assert (info.instance_id, info.operation_id) == (spec.instance_id, spec.operation_id)
    assert info.memory_bytes == subject.memory_bytes and info.cpu_cores == 1
    listed = [row for row in subject.backend.instance_list() if row.engine_id == info.engine_id]
    assert [(row.name, row.state) for row in listed] == [(spec.name, RUNNING)]
    assert listed[0].labels["libgo.test"] == subject.run_id


def test_without_auto_start_it_is_made_but_does_not_run(subject: Subject) -> None:
    info = subject.create(subject.spec(auto_start=False))
    assert info.state in (InstanceState.CREATED, STOPPED)


def test_progress_never_falls_and_undo_is_recorded_before_the_end(subject: Subject) -> None:
    report = MemoryReporter()
    subject.create(report=report)
    assert report.percents == sorted(report.percents) and report.percents[-1] <= 100
    assert report.steps


def test_undo_leaves_nothing_and_may_run_twice(subject: Subject) -> None:
    report = MemoryReporter()
    info = subject.create(report=report)
    subject.undo(report)
    subject.undo(report)
    with pytest.raises(InstanceNotFound):
        subject.backend.instance_get(info.engine_id)


def test_a_taken_name_is_a_conflict_and_the_first_stays(subject: Subject) -> None:
    first = subject.create(subject.spec(auto_start=False))
    report = MemoryReporter()
    with pytest.raises(NameConflict):
        subject.create(subject.spec(first.name, auto_start=False), report)
    subject.undo(report)
    assert subject.backend.instance_get(first.engine_id).name == first.name


def test_an_unknown_image_is_named_in_the_error_and_nothing_is_left(subject: Subject) -> None:
    config = {**subject.config, "image": "absent"}
    if subject.backend.name == "docker":
        config["pull"] = "never"
    checked = subject.backend.config_validate(config, allow_root_equivalent=False)
    spec, report = subject.spec(config=checked), MemoryReporter()
    with pytest.raises(ImageNotFound, match="absent"):
        subject.create(spec, report)
    subject.undo(report)
    assert spec.name not in [row.name for row in subject.backend.instance_list()]


def test_a_cancelled_create_is_undone(subject: Subject) -> None:
    report = MemoryReporter()
    report.cancel_at = 80
    spec = subject.spec()
    with pytest.raises(OperationCancelled):
        subject.create(spec, report)
    subject.undo(report)
    assert spec.name not in [row.name for row in subject.backend.instance_list()]


def test_stop_start_and_their_repetition(subject: Subject, report: MemoryReporter) -> None:
    engine_id = subject.create().engine_id
    backend = subject.backend
    for _ in range(2):
        backend.instance_start(engine_id, report)
        assert backend.instance_get(engine_id).state == RUNNING
    for _ in range(2):
        backend.instance_stop(engine_id, timeout_s=5, force=True, report=report)
        assert backend.instance_get(engine_id).state == STOPPED
    backend.instance_start(engine_id, report)
    assert backend.instance_get(engine_id).state == RUNNING


def test_restart_ends_running(subject: Subject, report: MemoryReporter) -> None:
    engine_id = subject.create().engine_id
    if subject.backend.stop_forces or subject.has_no_guest:
        subject.backend.instance_restart(engine_id, timeout_s=1, report=report)
    else:
        # A guest that still starts hears no power button: it is left alone, and force is offered.
        with pytest.raises(InvalidState) as refused:
            subject.backend.instance_restart(engine_id, timeout_s=0.2, report=report)
        assert refused.value.details["offer"] == "force"
    assert subject.backend.instance_get(engine_id).state == RUNNING


def test_a_saved_instance_goes_on_where_it_was(subject: Subject, report: MemoryReporter) -> None:
    backend = subject.backend
    if Capability.SAVE not in backend.probe().capabilities:
        assert Capability.SAVE not in backend.capabilities
        return
    engine_id = subject.create().engine_id
    for _ in range(2):
        backend.instance_save(engine_id, report)
        saved = backend.instance_get(engine_id)
        assert (saved.state, saved.status) == (STOPPED, "Saved to disk")
    backend.instance_start(engine_id, report)
    assert backend.instance_get(engine_id).state == RUNNING
    backend.instance_save(engine_id, report)
    for _ in range(2):
        backend.instance_save_discard(engine_id)
        assert backend.instance_get(engine_id).status != "Saved to disk"


def test_storage_comes_and_goes(subject: Subject, report: MemoryReporter) -> None:
    backend = subject.backend
    if Capability.VOLUME not in backend.probe().capabilities:
        with pytest.raises(OperationNotSupported):
            Backend.storage_attach(backend, "any", StorageJoin(size_bytes=1024**2), report)
        return
    engine_id = subject.create(subject.spec(auto_start=False)).engine_id
    subject.made.append(report)
    wanted = StorageJoin(**backend.storage_validate({"size": 4 * 1024**2, "format": "raw"}))
    name = backend.storage_attach(engine_id, wanted, report)
    attached = {item.name: item for item in backend.instance_get(engine_id).storage}
    assert (attached[name].size, attached[name].format) == (4 * 1024**2, "raw")
    backend.storage_detach(engine_id, name, delete=True, report=report)
    assert name not in [item.name for item in backend.instance_get(engine_id).storage]
    with pytest.raises(NotFound):
        backend.storage_detach(engine_id, name, delete=True, report=report)


def test_pause_and_unpause_may_be_repeated(subject: Subject, report: MemoryReporter) -> None:
    engine_id = subject.create().engine_id
    for _ in range(2):
        subject.backend.instance_pause(engine_id, report)
        assert subject.backend.instance_get(engine_id).state == PAUSED
    for _ in range(2):
        subject.backend.instance_unpause(engine_id, report)
        assert subject.backend.instance_get(engine_id).state == RUNNING


def test_new_limits_show(subject: Subject, report: MemoryReporter) -> None:
    if Capability.RESIZE not in subject.backend.probe().capabilities:
        assert subject.backend.probe().capabilities < subject.backend.capabilities
        return
    engine_id = subject.create(subject.spec(auto_start=False)).engine_id
    wanted = Resources(memory_bytes=subject.memory_bytes // 2)
    assert subject.backend.instance_resize(engine_id, wanted) == frozenset()
    info = subject.backend.instance_update(engine_id, wanted, report)
    assert info.memory_bytes == subject.memory_bytes // 2


def test_delete_removes_a_running_one_and_may_be_repeated(subject: Subject, report: MemoryReporter) -> None:
    engine_id = subject.create().engine_id
    for _ in range(2):
        subject.backend.instance_delete(engine_id, keep_storage=False, report=report)
        with pytest.raises(InstanceNotFound):
            subject.backend.instance_get(engine_id)


def test_usage_of_what_runs_and_refusal_of_what_does_not(subject: Subject, report: MemoryReporter) -> None:
    if Capability.STATS not in subject.backend.probe().capabilities:
        assert subject.backend.probe().capabilities < subject.backend.capabilities
        return
    engine_id = subject.create().engine_id
    usage = subject.backend.usage(engine_id)
    assert usage.memory_bytes is not None and usage.memory_bytes > 0
    assert engine_id in subject.backend.usage_all()
    subject.backend.instance_stop(engine_id, timeout_s=1, force=True, report=report)
    with pytest.raises(InvalidState):
        subject.backend.usage(engine_id)


def test_the_absent_is_not_found(subject: Subject, report: MemoryReporter) -> None:
    absent = str(uuid.uuid4())
    with pytest.raises(InstanceNotFound):
        subject.backend.instance_get(absent)
    with pytest.raises(InstanceNotFound):
        subject.backend.instance_start(absent, report)


@pytest.mark.parametrize("config", [{}, {"image": ""}, {"image": 7}, {"image": "demo", "surprise": 1}])
def test_a_bad_config_names_its_field(subject: Subject, config: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as refused:
        subject.backend.config_validate(config, allow_root_equivalent=True)
    assert all(field.startswith("config.") for field in refused.value.details["fields"])


def test_events_name_what_changed(subject: Subject, report: MemoryReporter) -> None:
    if Capability.EVENTS not in subject.backend.probe().capabilities:
        assert subject.backend.probe().capabilities < subject.backend.capabilities
        return
    seen: list[EngineEvent] = []
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: seen.extend(_listen(subject, stop, ready, seen)))
    thread.start()
    assert ready.wait(20)
    engine_id = subject.create(subject.spec(auto_start=False)).engine_id
    _until(lambda: any(event.engine_id in ("", engine_id) for event in seen))
    stop.set()
    thread.join(20)
    assert not thread.is_alive(), "the stream must end within a second of being asked to"


def _listen(
    subject: Subject, stop: threading.Event, ready: threading.Event, seen: list[EngineEvent]
) -> list[EngineEvent]:
    for event in subject.backend.events(stop, ready.set):
        seen.append(event)
    return []


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5 * strain()
    while not true():
        assert time.monotonic() < deadline, "no event came within 5 s"
        time.sleep(0.02)


def test_any_thread_may_call_at_any_time(subject: Subject) -> None:
    engine_id = subject.create().engine_id
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: subject.backend.instance_get(engine_id).state, range(40)))
    assert set(found) == {RUNNING}


def test_a_new_name_shows_and_a_taken_one_is_a_conflict(subject: Subject, report: MemoryReporter) -> None:
    if Capability.RENAME not in subject.backend.probe().capabilities:
        assert subject.backend.probe().capabilities < subject.backend.capabilities
        return
    backend = subject.backend
    first = subject.create(subject.spec(auto_start=False))
    second = subject.create(subject.spec(auto_start=False))
    with pytest.raises(NameConflict):
        backend.instance_rename(second.engine_id, first.name, report)
    name = f"{first.name}-new"
    for _ in range(2):
        backend.instance_rename(first.engine_id, name, report)
        assert backend.instance_get(first.engine_id).name == name
