"""Operations that consist of others: opened before their children, closed when the last has ended.

A parent holds no lease and no worker runs it. Whoever ends a child rings for it, the sweeper rings for
every open one, and :func:`parent_settle` looks at the rows: so it does not matter who dies when.

To make one: :func:`parent_open` and :func:`parent_adopt` for each child, in one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.db.models import Count, Sum
from django.db.models.functions import Now

from compute.actor import Actor
from compute.audit import audit, audit_told, origin_of
from compute.events import Fact, event_publish, operation_progress_send
from compute.models import BulkItem, Operation, Project
from compute.selectors.access import operation_actor
from compute.selectors.operations import children_of
from compute.states import ACTIVE_OPERATION_STATES, BulkItemState, OperationState
from compute.tasks import parent_ring
from compute.tell import tell

_GOOD = OperationState.SUCCEEDED.value


@dataclass(frozen=True)
class Parent:
    """What a parent will be. ``project`` None: its children belong to several; then only whoever asked,
    and administrators, see it, and no facts are told of it."""

    action: str
    target: str
    project: Project | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


def parent_open(actor: Actor, wanted: Parent) -> Operation:
    """Write it, running. Call inside the transaction that makes its children or says what they will be."""
    operation = Operation.objects.create(
        action=wanted.action,
        target=wanted.target[:255],
        project=wanted.project,
        user_id=actor.user_id,
        request_id=actor.request_id[:64],
        remote_address=actor.remote_address[:64],
        token_uid=actor.credential.token_id,
        without_admin=not actor.is_admin,
        origin=origin_of(actor),
        params=dict(wanted.params),
        state=OperationState.RUNNING.value,
        step="Beginning",
        may_cancel=True,
        is_parent=True,
        started_at=Now(),
    )
    operation.refresh_from_db()
    audit_told()
    _tell(operation, "operation.running", actor.username)
    transaction.on_commit(lambda: parent_ring(str(operation.pk)))
    return operation


def parent_adopt(parent: Operation, child: Operation) -> None:
    """Make ``child`` one of its children, in the transaction that made it."""
    Operation.objects.filter(pk=child.pk).update(parent=parent)
    child.parent = parent


def parent_settle(parent_id: str) -> None:
    """Write how far it is, and close it when nothing of it is open. Any process, any number of times."""
    with transaction.atomic():
        rows = Operation.objects.filter(pk=parent_id, is_parent=True, state=OperationState.RUNNING.value)
        parent = rows.select_for_update(of=("self",), no_key=True).select_related("user").first()
        if parent is None:
            return
        open_items = BulkItem.objects.filter(parent=parent, state=BulkItemState.WAITING.value).count()
        active = Operation.objects.filter(parent=parent, state__in=sorted(ACTIVE_OPERATION_STATES))
        so_far = active.aggregate(count=Count("pk"), amount=Sum("progress"))
        if open_items + so_far["count"]:
            _progress(parent, open_items + so_far["count"], so_far["amount"] or 0.0)
            return
        _close(parent, children_of(parent))


def _progress(parent: Operation, unfinished: int, amount: float) -> None:
    """``amount``: the percents of those under way, added up."""
    items = BulkItem.objects.filter(parent=parent).count()
    total = items or Operation.objects.filter(parent=parent).count()
    ended = total - unfinished
    progress, step = (100.0 * ended + amount) / total, tell(f"{ended} of {total} done")
    if (round(progress, 1), step) == (round(parent.progress, 1), parent.step):
        return
    Operation.objects.filter(pk=parent.pk).update(progress=progress, step=step)
    data = {
        "instance": None,
        "action": parent.action,
        "progress": round(progress, 1),
        "step": step,
        "state": parent.state,
    }
    project = None if parent.project_id is None else str(parent.project_id)
    transaction.on_commit(lambda: operation_progress_send(str(parent.pk), project, data))


def _close(parent: Operation, children: list[dict[str, Any]]) -> None:
    counts = Counter(child["state"] for child in children)
    total, good = len(children), counts[_GOOD]
    columns: dict[str, Any] = {
        "progress": 100.0,
        "step": tell(f"{good} of {total} done"),
        "result": {"total": total, **{state.value: counts[state.value] for state in _ENDS}},
    }
    state = OperationState.SUCCEEDED
    if good < total:
        state = OperationState.CANCELLED if parent.cancel_requested else OperationState.FAILED
        columns |= _error(children, good)
    Operation.objects.filter(pk=parent.pk).update(state=state.value, finished_at=Now(), **columns)
    parent.refresh_from_db()
    username = parent.user.get_username() if parent.user else "system"
    _tell(parent, f"operation.{state}", username)
    actor = replace(operation_actor(parent), username=username)
    details = {"operation": str(parent.pk), **parent.result}
    audit(actor, parent.action, parent.subject, result=parent.error_code or str(state), details=details)


_ENDS = (
    OperationState.SUCCEEDED,
    OperationState.FAILED,
    OperationState.CANCELLED,
    OperationState.INTERRUPTED,
)


def _error(children: list[dict[str, Any]], good: int) -> dict[str, Any]:
    """The most frequent reason stands for all; each child has its own."""
    errors = [child["error"] for child in children if child["error"]]
    codes = Counter(error["code"] for error in errors)
    code = codes.most_common(1)[0][0] if codes else "INTERNAL"
    first = next((error["message"] for error in errors if error["code"] == code), "")
    bad = len(children) - good
    return {
        "error_code": code,
        "error_message": f"{bad} of {len(children)} were not done. {first}"[:2000],
        "error_details": {"codes": dict(codes)},
    }


def _tell(operation: Operation, fact: str, username: str) -> None:
    if operation.project_id is None:
        # Of several projects: a fact without a project is heard by everybody.
        return
    message = operation.error_message or f"{operation} is {operation.state}."
    details = {"state": operation.state, "error": operation.error_code or None}
    event_publish(Fact(fact, message, operation=operation, username=username, details=details))
