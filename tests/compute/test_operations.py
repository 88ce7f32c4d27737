"""From intent to end: claims, leases, undo, cancel, recovery."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from compute.actor import Actor
from compute.backends.fake import FakeEngine
from compute.backends.types import Reporter
from compute.errors import BackendUnavailable, ComputeError, InstanceBusy, InvalidState
from compute.execution import runner, sweep
from compute.execution.lease import operation_claim, operation_waiting, operation_write
from compute.models import AuditEvent, Event, Instance, Node, Operation, OperationLog
from compute.models.operation import PAYLOAD_VERSION
from compute.services.instances import InstanceCreate, instance_act, instance_create, instance_delete
from compute.services.operations import operation_cancel
from compute.states import Action
from tests.attacks.catalogue import attack

pytestmark = pytest.mark.django_db


def _ask(admin: Actor, name: str = "web", image: str = "demo") -> Operation:
    return instance_create(admin, InstanceCreate(name=name, backend="fake", config={"image": image}))


def _lose_worker(operation: Operation) -> None:
    Operation.objects.filter(pk=operation.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_a_create_ends_with_a_running_instance_its_log_facts_and_audit(
    make: Callable[..., Instance], engine: FakeEngine
) -> None:
    row = make("web")
    assert (row.state, row.managed, row.image) == ("running", True, "demo")
    assert list(engine.instances) == [row.engine_id]
    operation = Operation.objects.get(instance=row)
    assert operation.progress == 100 and operation.undo_steps == []
    assert OperationLog.objects.filter(operation=operation).exists()
    facts = list(Event.objects.filter(instance_uid=row.pk).values_list("type", flat=True))
    assert facts[:3] == ["instance.created", "operation.queued", "operation.running"]
    assert {"instance.started", "operation.succeeded"} <= set(facts)
    assert AuditEvent.objects.get(action="instance.create").result == "succeeded"


def test_the_intent_is_written_before_any_bell_rings(
    admin: Actor, fake_node: Node, bells: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        operation = _ask(admin)
        assert bells == [] and Operation.objects.filter(pk=operation.pk, state="queued").exists()
    assert bells == [str(operation.pk)]


def test_a_failed_create_leaves_no_row_and_nothing_in_the_engine(
    admin: Actor, fake_node: Node, engine: FakeEngine, bells: list[str]
) -> None:
    def break_down(report: Reporter) -> None:
        raise BackendUnavailable("The engine went away half-way.")

    engine.before_create_ends = break_down
    operation = _ask(admin)
    runner.operation_execute(str(operation.pk))
    operation.refresh_from_db()
    assert (operation.state, operation.error_code) == ("failed", "BACKEND_UNAVAILABLE")
    assert engine.instances == {} and not Instance.objects.exists()


def test_an_unexpected_exception_still_closes_the_operation_and_undoes(
    admin: Actor, fake_node: Node, engine: FakeEngine, bells: list[str]
) -> None:
    def crash(report: Reporter) -> None:
        raise ZeroDivisionError("secret engine internals")

    engine.before_create_ends = crash
    operation = _ask(admin)
    runner.operation_execute(str(operation.pk))
    operation.refresh_from_db()
    assert (operation.state, operation.error_code) == ("failed", "INTERNAL")
    assert "secret" not in operation.error_message
    assert engine.instances == {}


def test_a_second_action_is_refused_and_names_the_first(
    admin: Actor, make: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make("web")
    monkeypatch.setattr("compute.services.operations.operation_ring", lambda *_, **__: None)
    first = instance_act(admin, row.pk, Action.RESTART, {})
    assert first is not None
    with pytest.raises(InstanceBusy) as refused:
        instance_act(admin, row.pk, Action.STOP, {})
    assert refused.value.details["operation"] == str(first.pk)


@attack("S88", "a task delivered twice", refused="one worker gets it")
def test_only_one_worker_gets_an_operation(admin: Actor, fake_node: Node, bells: list[str]) -> None:
    operation_id = str(_ask(admin).pk)
    mine, theirs = operation_waiting(operation_id), operation_waiting(operation_id)
    assert mine is not None and theirs is not None
    assert operation_claim(mine)
    assert not operation_claim(theirs)
    assert operation_waiting(operation_id) is None


def test_what_is_cancelled_while_a_worker_takes_it_is_not_taken_unheard(
    admin: Actor, fake_node: Node, engine: FakeEngine, bells: list[str]
) -> None:
    operation_id = str(_ask(admin).pk)
    read_before = operation_waiting(operation_id)
    assert read_before is not None
    operation_cancel(admin, operation_id)
    assert not operation_claim(read_before)
    runner.operation_execute(operation_id)
    assert Operation.objects.get(pk=operation_id).state == "cancelled"
    assert engine.instances == {}


def test_a_worker_with_an_old_fence_writes_nothing(admin: Actor, fake_node: Node, bells: list[str]) -> None:
    claimed = operation_waiting(str(_ask(admin).pk))
    assert claimed is not None and operation_claim(claimed)
    Operation.objects.filter(pk=claimed.pk).update(fence=claimed.fence + 1)
    assert operation_write(claimed.pk, claimed.fence, step="too late") is False


def test_a_running_create_is_cancelled_at_its_next_checkpoint_and_undone(
    admin: Actor, fake_node: Node, engine: FakeEngine, bells: list[str]
) -> None:
    operation = _ask(admin)

    def cancel_now(report: Reporter) -> None:
        operation_cancel(admin, str(operation.pk))
        threading.Event().wait(0.3)
        report.progress(50, "Going on")

    engine.before_create_ends = cancel_now
    runner.operation_execute(str(operation.pk))
    operation.refresh_from_db()
    assert operation.state == "cancelled"
    assert engine.instances == {} and not Instance.objects.exists()


def test_what_is_over_cannot_be_cancelled(admin: Actor, make: Callable[..., Instance]) -> None:
    operation = Operation.objects.get(instance=make("web"))
    with pytest.raises(InvalidState):
        operation_cancel(admin, str(operation.pk))


def test_a_create_whose_worker_died_is_undone_by_another_and_says_why(
    admin: Actor, fake_node: Node, engine: FakeEngine, bells: list[str]
) -> None:
    operation = _ask(admin)

    def die(report: Reporter) -> None:
        raise KeyboardInterrupt

    engine.before_create_ends = die
    with pytest.raises(KeyboardInterrupt):
        runner.operation_execute(str(operation.pk))
    assert len(engine.instances) == 1, "the half-made instance is there"
    assert sweep.operations_lost() == []
    _lose_worker(operation)
    assert sweep.operations_lost() == [str(operation.pk)]
    runner.operation_recover(str(operation.pk))
    operation.refresh_from_db()
    assert (operation.state, operation.error_code) == ("failed", "OPERATION_INTERRUPTED")
    assert engine.instances == {} and not Instance.objects.exists()


def test_a_lost_stop_is_interrupted_never_run_again_and_the_engine_is_read(
    admin: Actor, make: Callable[..., Instance], engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make("web")
    monkeypatch.setattr("compute.services.operations.operation_ring", lambda *_, **__: None)
    operation = instance_act(admin, row.pk, Action.STOP, {})
    assert operation is not None and operation_claim(operation)
    _lose_worker(operation)
    runner.operation_recover(str(operation.pk))
    operation.refresh_from_db()
    row.refresh_from_db()
    assert operation.state == "interrupted"
    assert row.state == "running", "nobody stopped it"
    assert instance_act(admin, row.pk, Action.STOP, {}) is not None, "it may be asked for again"


def test_what_could_not_be_undone_is_undone_when_the_engine_is_back(
    admin: Actor, fake_node: Node, engine: FakeEngine, bells: list[str]
) -> None:
    def vanish(report: Reporter) -> None:
        engine.fail_with = BackendUnavailable("The engine is away.")
        raise engine.fail_with

    engine.before_create_ends = vanish
    operation = _ask(admin)
    runner.operation_execute(str(operation.pk))
    operation.refresh_from_db()
    assert operation.state == "failed" and operation.undo_pending
    assert len(engine.instances) == 1
    engine.fail_with = None
    assert sweep.undos_pending() == [str(operation.pk)]
    runner.undo_finish(str(operation.pk))
    assert engine.instances == {} and sweep.undos_pending() == []


def test_an_unheard_bell_is_rung_again_but_not_at_once(
    admin: Actor, fake_node: Node, bells: list[str]
) -> None:
    operation = _ask(admin)
    assert sweep.operations_unheard() == []
    Operation.objects.filter(pk=operation.pk).update(dispatched_at=timezone.now() - timedelta(minutes=1))
    assert sweep.operations_unheard() == [str(operation.pk)]
    assert sweep.operations_unheard() == []


def test_what_is_too_new_for_a_worker_is_left_and_says_so(
    admin: Actor, fake_node: Node, engine: FakeEngine, bells: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[tuple[str, int]] = []
    monkeypatch.setattr(runner, "lane_pass", lambda *words: passed.append(words))
    operation = _ask(admin)
    newer = PAYLOAD_VERSION + 1
    Operation.objects.filter(pk=operation.pk).update(payload_version=newer)
    for _ in range(3):
        assert runner.operation_execute(str(operation.pk)), "it is not rung for again and again"
    read = operation_waiting(str(operation.pk))
    assert read is not None and not operation_claim(read)
    assert (read.state, read.fence) == ("queued", 0)
    assert read.step == "Waits for a worker of the newer version of LibGo"
    assert passed == [(str(operation.pk), newer)] and engine.instances == {}


def test_what_a_newer_worker_left_is_cleared_by_its_like(
    admin: Actor, fake_node: Node, bells: list[str]
) -> None:
    operation = operation_waiting(str(_ask(admin).pk))
    assert operation is not None and operation_claim(operation)
    rows = Operation.objects.filter(pk=operation.pk)
    rows.update(payload_version=PAYLOAD_VERSION + 1, undo_steps=[{"kind": "odd", "ref": "x"}])
    _lose_worker(operation)
    runner.operation_recover(str(operation.pk))
    assert rows.get().state == "running" and rows.get().fence == operation.fence
    rows.update(state="failed", undo_pending=True)
    runner.undo_finish(str(operation.pk))
    assert rows.get().undo_pending and rows.get().undo_steps


def test_a_worker_makes_what_it_notes_known_as_its_own(
    admin: Actor, fake_node: Node, bells: list[str]
) -> None:
    operation_id = str(_ask(admin).pk)
    Operation.objects.filter(pk=operation_id).update(payload_version=0)
    older = operation_waiting(operation_id)
    assert older is not None and operation_claim(older)
    assert older.payload_version == 0, "of its params"
    assert Operation.objects.get(pk=operation_id).payload_version == PAYLOAD_VERSION


def test_a_web_that_knows_of_no_version_writes_rows_of_the_first(make: Callable[..., Instance]) -> None:
    make("web")
    made = uuid.uuid4()
    known = [field.column for field in Operation._meta.concrete_fields]
    columns = ", ".join(name for name in known if name not in ("id", "payload_version"))
    with connection.cursor() as cursor:
        # Names of columns, not what anybody typed.
        insert = f"INSERT INTO compute_operation (id, {columns}) SELECT %s, {columns} FROM compute_operation"  # noqa: S608
        cursor.execute(insert, [Operation._meta.pk.get_db_prep_value(made, connection)])
    assert Operation.objects.get(pk=made).payload_version == 1


def test_delete_removes_the_row_and_keeps_the_history(
    admin: Actor, make: Callable[..., Instance], engine: FakeEngine, django_capture_on_commit_callbacks: Any
) -> None:
    row = make("web")
    with pytest.raises(InvalidState):
        instance_delete(admin, row.pk)
    with django_capture_on_commit_callbacks(execute=True):
        operation = instance_delete(admin, row.pk, force=True)
    operation.refresh_from_db()
    assert operation.state == "succeeded" and operation.instance_name == "web"
    assert engine.instances == {} and not Instance.objects.filter(pk=row.pk).exists()


def test_starting_what_runs_is_a_success_without_an_operation(
    admin: Actor, make: Callable[..., Instance]
) -> None:
    assert instance_act(admin, make("web").pk, Action.START, {}) is None


def test_an_unknown_action_fails_with_a_reason(admin: Actor, make: Callable[..., Instance]) -> None:
    row = make("web")
    operation = Operation.objects.create(action="instance.levitate", instance=row, node=row.node)
    runner.operation_execute(str(operation.pk))
    operation.refresh_from_db()
    assert operation.state == "failed" and "levitate" in operation.error_message


def test_every_error_of_the_tree_has_its_own_code() -> None:
    def tree(cls: type[ComputeError]) -> list[type[ComputeError]]:
        return [cls, *(found for child in cls.__subclasses__() for found in tree(child))]

    # An engine may tell cases apart for itself; outside they keep the code of what they are.
    codes = [cls.code for cls in tree(ComputeError) if cls.__module__ == ComputeError.__module__]
    assert len(codes) == len(set(codes))


def test_a_lifecycle_change_asks_and_writes_no_more_than_it_must(
    admin: Actor, make: Callable[..., Instance], django_assert_max_num_queries: Any
) -> None:
    """What one stop costs the worker, from the bell to the end."""
    operation = instance_act(admin, make("web").pk, Action.STOP, {})
    assert operation is not None
    with django_assert_max_num_queries(20):
        runner.operation_execute(str(operation.pk))
    operation.refresh_from_db()
    assert operation.state == "succeeded"
