"""Run one operation from claim to close, and clean up after those whose worker was lost.

The broker only rings: whoever claims the row runs it. Whatever goes wrong ends in a closed
operation with a reason, and with the engine as it was before a failed create.
"""

from __future__ import annotations

import errno
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeVar

import structlog
from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from compute.audit import audit
from compute.backends.base import Backend
from compute.backends.registry import backend_for
from compute.backends.room import room_error_of
from compute.backends.types import UndoStep
from compute.errors import (
    BackendUnavailable,
    ComputeError,
    InstanceNotFound,
    OperationCancelled,
    OperationInterrupted,
)
from compute.events import Fact, event_publish
from compute.execution import backups, migration
from compute.execution.failpoint import boundary
from compute.execution.handlers import Work, handler_for, undoer_for
from compute.execution.lease import (
    READABLE,
    heartbeat,
    operation_claim,
    operation_close,
    operation_take_over,
    operation_waiting,
)
from compute.execution.mirror import MIGRATE, REPLACERS, instance_adopt, instance_forget, instance_reread
from compute.execution.patience import patiently
from compute.execution.report import OperationReporter, progress_send
from compute.lane import lane_pass
from compute.models import Instance, Node, Operation, OperationLog
from compute.models.operation import PAYLOAD_VERSION
from compute.selectors.access import operation_actor
from compute.selectors.nodes import node_config
from compute.stages import stage
from compute.states import OperationState
from compute.tell import tell

log = structlog.get_logger(__name__)
T = TypeVar("T")

# How many operations of one node a process runs at once: a hung engine must not take them all.
_SLOTS_PER_NODE = 6
_TOO_NEW = "Waits for a worker of the newer version of LibGo"
_slots: dict[str, threading.BoundedSemaphore] = defaultdict(
    lambda: threading.BoundedSemaphore(_SLOTS_PER_NODE)
)


def operation_execute(operation_id: str) -> bool:
    """Run it if it is still queued. False when its node is at its limit here: ring again later."""
    operation = operation_waiting(operation_id)
    if operation is None:
        return True
    if operation.payload_version > PAYLOAD_VERSION:
        _leave(operation)
        return True
    slot = _slots[str(operation.node_id)]
    if not slot.acquire(blocking=False):
        return False
    try:
        if operation_begin(operation):
            _run(operation)
    finally:
        slot.release()
    return True


def _leave(operation: Operation) -> None:
    """It is too new for this worker: say so, and hand it to one that can read it. Once; from then on the
    sweeper rings, as for all that nobody took."""
    operation.step, before = _TOO_NEW, operation.step
    waiting = Operation.objects.filter(pk=operation.pk, state=OperationState.QUEUED.value, step=before)
    if before != _TOO_NEW and waiting.update(step=_TOO_NEW):
        progress_send(operation)
        lane_pass(str(operation.pk), operation.payload_version)


def operation_begin(operation: Operation) -> bool:
    """Claim it and tell so, both or neither; False when someone else has it, it is over, or it is being
    cancelled, which rings once more."""
    with transaction.atomic():
        is_ours = operation_claim(operation)
        if is_ours:
            _tell(operation, "operation.running")
    stage(operation.pk, "claimed")
    return is_ours


def operation_carry_out(operation: Operation, body: Iterable[bytes]) -> None:
    """Run one that this process claimed when it was asked for: ``body`` is its input."""
    _run(operation, body)


def _run(operation: Operation, body: Iterable[bytes] = ()) -> None:
    lost = heartbeat.hold(operation)
    report = OperationReporter(operation, lost)
    try:
        _guarded(operation, lambda: _handle(_work(operation, report, body)))
    except OperationInterrupted:
        # Another process owns it now and undoes what this one recorded.
        log.warning("operation_lost", operation=str(operation.pk))
    except ComputeError as error:
        bad = error
        patiently(lambda: _finish_badly(operation, report, bad))
    finally:
        heartbeat.release(operation)


def _work(operation: Operation, report: OperationReporter, body: Iterable[bytes]) -> Work:
    if operation.node is None:
        raise BackendUnavailable("The node of this operation was removed.")
    return Work(operation, operation.node, backend_for(node_config(operation.node)), report, body)


def _handle(work: Work) -> None:
    operation = work.operation
    handler = handler_for(operation.action, work.node.backend)
    if handler is None:
        raise ComputeError(f"No part of LibGo knows how to do “{operation.action}”.")
    work.report.begin()
    boundary(operation, "begin")
    result = handler(work)
    boundary(operation, "close")
    stage(operation.pk, "done")
    patiently(lambda: _close(operation, OperationState.SUCCEEDED, _success_columns(result, [])))


def _guarded(operation: Operation, call: Callable[[], T]) -> T:
    """Whatever goes wrong in it is a ``ComputeError``, so that the operation still ends closed."""
    try:
        return call()
    except ComputeError:
        raise
    except DatabaseError as error:
        log.warning("operation_without_database", operation=str(operation.pk), reason=str(error))
        raise ComputeError(
            "LibGo's database did not answer when the outcome was to be written. The engine may have done "
            "what was asked: look at the state that is shown now."
        ) from error
    except (Exception, SystemExit) as error:  # the outermost frame of foreign code
        raise _shortage(error) or _crashed(operation, error) from error


def _shortage(error: BaseException) -> ComputeError | None:
    """What LibGo's own machine had too little of, if that is the reason."""
    if isinstance(error, OSError) and (no_room := room_error_of(error, tell("LibGo's own disk"))):
        return no_room
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return ComputeError(
            "LibGo's worker had not enough memory for this operation. What it had made was taken back; give "
            "the machine that LibGo runs on more memory, or do less at once."
        )
    if number in (errno.EMFILE, errno.ENFILE):
        return ComputeError(
            "LibGo's worker had too many files and connections open for this operation. What it had made was "
            "taken back; do less at once, or raise the limit of open files of the machine that LibGo runs on."
        )
    return None


def _crashed(operation: Operation, error: BaseException) -> ComputeError:
    log.error("operation_crashed", operation=str(operation.pk), action=operation.action, exc_info=error)
    return ComputeError(
        f"An unexpected problem ended this operation ({type(error).__name__}). The log has the details."
    )


def _success_columns(result: dict[str, Any], left: list[UndoStep]) -> dict[str, Any]:
    return {
        "progress": 100.0,
        "step": "Done",
        "result": result,
        "undo_steps": [asdict(step) for step in left],
        "undo_pending": bool(left),
    }


def _finish_badly(operation: Operation, report: OperationReporter, error: ComputeError) -> None:
    left = _undo_told(operation, report)
    _row_settle(operation)
    if (moved := migration.migration_result(operation)) is not None:
        report.log(f"It had moved already when this happened: {error.message}")
        _close(operation, OperationState.SUCCEEDED, _success_columns(moved, left))
        return
    cancelled = isinstance(error, OperationCancelled)
    state = OperationState.CANCELLED if cancelled else OperationState.FAILED
    columns = {**_error_columns(error), **_undo_columns(operation, report.undo_steps, left)}
    if operation.step:
        columns["error_details"] = {**error.details, "step": operation.step}
    _close(operation, state, columns)


def _error_columns(error: ComputeError) -> dict[str, Any]:
    return {
        "error_code": error.code,
        "error_message": error.message[:2000],
        "error_details": error.details,
    }


def _undo_columns(operation: Operation, steps: list[UndoStep], left: list[UndoStep]) -> dict[str, Any]:
    """What a create recorded stays written down, also when it is taken back: an engine that hung may make
    the instance after all, and the mirror then asks for it to be taken back again."""
    kept = steps if operation.action == "instance.create" else left
    # Without a time of the last try the sweeper tries at its next turn.
    return {
        "undo_steps": [asdict(step) for step in kept],
        "undo_pending": bool(left),
        "dispatched_at": None,
    }


def _undo_told(operation: Operation, report: OperationReporter) -> list[UndoStep]:
    """Take back what was recorded, and say in the log what has to wait for the sweeper."""
    left = _undo(operation, report.undo_steps)
    for step in left:
        report.log(f"Cleanup needed: the {_words(step)} could not be taken back yet. It is tried again.")
    return left


def _words(step: UndoStep) -> str:
    return step.kind.replace("_", " ").replace("-", " ")


def _undo(operation: Operation, steps: list[UndoStep]) -> list[UndoStep]:
    """Take steps back, last first; those that could not be, oldest first. Whatever goes wrong with one
    costs no other: it is tried again."""
    if not steps or operation.node is None:
        return []
    left: list[UndoStep] = []
    for step in reversed(steps):
        try:
            _guarded(operation, partial(_step_undo, operation, operation.node, step))
        except ComputeError as error:
            log.warning("undo_failed", operation=str(operation.pk), kind=step.kind, reason=error.message)
            left.insert(0, step)
    return left


def _step_undo(operation: Operation, node: Node, step: UndoStep) -> None:
    boundary(operation, f"take back {step.kind}")
    if step.kind == migration.STEP:
        migration.migration_settle(operation, step)
    elif step.kind == backups.STEP:
        backups.backup_undo(operation, step)
    elif (undoer := undoer_for(operation, node.backend, step.kind)) is not None:
        undoer(operation, step)
    else:
        backend_for(node_config(node)).undo(step)


def _row_settle(operation: Operation) -> None:
    """After a bad end: no row for what was not made, and the truth about what is there."""
    backups.backup_settle(operation)
    row = Instance.objects.filter(pk=operation.instance_uid).select_related("node").first()
    if row is None:
        return
    if operation.action == MIGRATE:
        return
    if operation.action == "instance.create":
        instance_forget(row)
        return
    try:
        backend = backend_for(node_config(row.node))
        if operation.action in REPLACERS:
            _replaced_settle(backend, operation, row)
        else:
            instance_reread(backend, row.node, row.engine_id)
    except InstanceNotFound:
        return
    except ComputeError as error:
        log.info("reread_failed", instance=str(row.pk), reason=error.message)


def _replaced_settle(backend: Backend, operation: Operation, row: Instance) -> None:
    """The old one is back, or it is gone and the new one carries this operation's mark."""
    try:
        instance_adopt(row, backend.instance_get(row.engine_id))
        return
    except InstanceNotFound:
        made = [info for info in backend.instance_list() if info.operation_id == str(operation.pk)]
    for info in made:
        instance_adopt(row, backend.instance_get(info.engine_id))


def _close(operation: Operation, state: OperationState, columns: dict[str, Any]) -> None:
    """Write the end, tell it and audit it: all of it or nothing."""
    with transaction.atomic():
        _close_and_tell(operation, state, columns)
        stage(operation.pk, "closed")


def _close_and_tell(operation: Operation, state: OperationState, columns: dict[str, Any]) -> None:
    if not operation_close(operation, state, columns):
        log.warning("operation_lost_at_the_end", operation=str(operation.pk))
        return
    _tell(operation, f"operation.{state}")
    asked = operation_actor(operation)
    audit(
        asked if asked.user_id else replace(asked, username=operation.origin.get("username", "system")),
        operation.action,
        operation.subject,
        target_uid=operation.instance_uid,
        result=operation.error_code or str(state),
        details={"operation": str(operation.pk), **operation.origin.get("changes", {})},
        project=operation.project_id,
    )


def _tell(operation: Operation, fact: str) -> None:
    event_publish(
        Fact(
            fact,
            operation.error_message or operation.told,
            operation=operation,
            username=operation.user.get_username() if operation.user else "",
            details={"state": operation.state, "error": operation.error_code or None},
        )
    )


def operation_recover(operation_id: str) -> None:
    """Close an operation whose worker was lost: undo what it recorded, then say so."""
    operation = operation_take_over(operation_id)
    if operation is None:
        return
    lost = heartbeat.hold(operation)
    try:
        report = OperationReporter(operation, lost)
        left = _undo_told(operation, report)
        _row_settle(operation)
        _close(operation, *_outcome_of_lost(operation, report.undo_steps, left))
    finally:
        heartbeat.release(operation)


def _outcome_of_lost(
    operation: Operation, steps: list[UndoStep], left: list[UndoStep]
) -> tuple[OperationState, dict[str, Any]]:
    if (moved := migration.migration_result(operation)) is not None:
        return OperationState.SUCCEEDED, _success_columns(moved, left)
    if (made := backups.backup_result(operation)) is not None:
        return OperationState.SUCCEEDED, _success_columns(made, left)
    undo = _undo_columns(operation, steps, left)
    if operation.action == "instance.create":
        message = "The worker was lost while it made this instance. Everything it had made was removed."
        return OperationState.FAILED, {**_error_columns(OperationInterrupted(message)), **undo}
    message = (
        "The worker was lost on the way, and how far it came is not known. The instance was read again: "
        "look at its state, and repeat the action if it is still wanted."
    )
    return OperationState.INTERRUPTED, {**_error_columns(OperationInterrupted(message)), **undo}


def undo_finish(operation_id: str) -> None:
    """Take back what could not be when the operation ended because its engine was away. Steps of a newer
    worker are left to its like."""
    operation = Operation.objects.select_related("node").filter(READABLE, pk=operation_id).first()
    if operation is None:
        return
    steps = [UndoStep(**step) for step in operation.undo_steps]
    left = _undo(operation, steps)
    written = Operation.objects.filter(pk=operation_id, undo_pending=True).update(
        **{**_undo_columns(operation, steps, left), "dispatched_at": Now()}
    )
    if written and not left:
        OperationLog.objects.create(operation=operation, line="Cleaned up: everything was taken back.")
