"""Every read of operations."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from compute.actor import Actor
from compute.errors import InvalidInput, OperationNotFound
from compute.models import BulkItem, Operation, OperationLog
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name, words_in
from compute.selectors.page import Page, between, one_of, order_by, page_bounds, time_text
from compute.states import ACTIVE_OPERATION_STATES, BulkItemState, OperationState

SORT_COLUMNS = {
    "created_at": "created_at",
    "finished_at": "finished_at",
    "state": "state",
    "action": "action",
}
LOG_LINES_MAX = 5000


@dataclass(frozen=True)
class OperationFilter:
    """Empty means "any". ``instance`` is an id or a name, ``user`` a user name or id, ``target`` the
    name of what is no instance, ``parent`` an id, or ``none`` for those that are no children."""

    state: str = ""
    action: str = ""
    instance: str = ""
    user: str = ""
    target: str = ""
    parent: str = ""
    q: str = ""
    sort: list[str] = field(default_factory=list)
    page: int = 1
    page_size: int = 50


def operations_page(actor: Actor, wanted: OperationFilter) -> Page:
    """Newest first unless asked otherwise."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = _filtered(_visible(actor), wanted)
    ordering = order_by(wanted.sort or ["-created_at"], SORT_COLUMNS, "id")
    items = [operation_dict(row) for row in rows.order_by(*ordering)[start:end]]
    return Page(items, rows.count(), wanted.page, wanted.page_size)


def operations_open(actor: Actor, limit: int) -> list[dict[str, Any]]:
    """What has not ended, the oldest first; parents stand for their children."""
    rows = _visible(actor).filter(parent=None, state__in=sorted(ACTIVE_OPERATION_STATES))
    return [operation_dict(row) for row in rows.order_by("created_at", "id")[:limit]]


def operations_active_count(actor: Actor) -> int:
    """How many of those the actor sees have not ended."""
    rows = _visible(actor).filter(parent=None)
    return rows.filter(state__in=sorted(ACTIVE_OPERATION_STATES)).count()


def operations_unresolved(actor: Actor, since: datetime, limit: int) -> list[dict[str, Any]]:
    """What failed since then, newest first, unless the same was done to the same thing later, or the thing
    is gone."""
    same = Q(action=OuterRef("action")) | Q(action="instance.delete")
    later = Operation.objects.filter(
        same,
        state=OperationState.SUCCEEDED.value,
        instance_name=OuterRef("instance_name"),
        target=OuterRef("target"),
        created_at__gt=OuterRef("created_at"),
    )
    bad = (OperationState.FAILED.value, OperationState.INTERRUPTED.value)
    rows = _visible(actor).filter(state__in=bad, parent=None, finished_at__gte=since)
    found = rows.exclude(Exists(later)).order_by("-finished_at", "id")[:limit]
    return [operation_dict(row) for row in found]


def operation_get(actor: Actor, operation_id: str | uuid.UUID) -> Operation:
    """Raises ``OperationNotFound``."""
    try:
        found = _visible(actor).filter(pk=uuid.UUID(str(operation_id))).first()
    except ValueError:
        found = None
    if found is None:
        raise OperationNotFound(f"There is no operation “{str(operation_id)[:100]}”.")
    return found


def operation_dict(row: Operation) -> dict[str, Any]:
    """The public shape."""
    error = None
    if row.error_code:
        error = {"code": row.error_code, "message": row.error_message, "details": row.error_details}
    return {
        "id": str(row.pk),
        "action": row.action,
        "state": row.state,
        "progress": round(row.progress, 1),
        "step": row.step,
        "instance": None if row.instance_uid is None else str(row.instance_uid),
        "instance_name": row.instance_name,
        "target": row.target,
        "node": None if row.node_id is None else str(row.node_id),
        "project": None if row.project_id is None else str(row.project_id),
        "user": row.user.get_username() if row.user else None,
        "error": error,
        "cleanup_needed": row.undo_pending,
        "result": row.result,
        "created_at": time_text(row.created_at),
        "started_at": time_text(row.started_at),
        "finished_at": time_text(row.finished_at),
        "may_cancel": row.may_cancel and row.state in ACTIVE_OPERATION_STATES and not row.cancel_requested,
        "parent": None if row.parent_id is None else str(row.parent_id),
    }


def operation_full(row: Operation) -> dict[str, Any]:
    """The public shape of one, with the ``children`` of a parent."""
    shown = operation_dict(row)
    return {**shown, "children": children_of(row)} if row.is_parent else shown


def children_of(parent: Operation) -> list[dict[str, Any]]:
    """What a parent consists of, in its order. An instance for which nothing was begun, yet or ever, has
    no ``id``; it is ``waiting``, or ended at once."""
    items = list(BulkItem.objects.filter(parent=parent).select_related("operation"))
    if items:
        return [_item_dict(item) for item in items]
    children = Operation.objects.filter(parent=parent).order_by("created_at", "id")
    return [_child_dict(child) for child in children]


def _item_dict(item: BulkItem) -> dict[str, Any]:
    if item.operation is not None:
        return {**_child_dict(item.operation), "instance": str(item.instance_uid)}
    state = BulkItemState(item.state)
    error = None
    if state is BulkItemState.REFUSED:
        error = {"code": item.error_code, "message": item.error_message, "details": item.error_details}
    ended = state is not BulkItemState.WAITING
    return {
        "id": None,
        "instance": str(item.instance_uid),
        "instance_name": item.instance_name,
        "target": "",
        "state": _ITEM_STATES[state],
        "progress": 100.0 if ended else 0.0,
        "step": _ITEM_STEPS.get(state, ""),
        "error": error,
    }


# A started item whose operation is not there any more was dropped with it, long after its end.
_ITEM_STATES = {
    BulkItemState.WAITING: "waiting",
    BulkItemState.STARTED: OperationState.INTERRUPTED.value,
    BulkItemState.UNCHANGED: OperationState.SUCCEEDED.value,
    BulkItemState.REFUSED: OperationState.FAILED.value,
    BulkItemState.CANCELLED: OperationState.CANCELLED.value,
}
_ITEM_STEPS = {
    BulkItemState.WAITING: "Waiting for its turn",
    BulkItemState.UNCHANGED: "It was so already",
    BulkItemState.CANCELLED: "Not begun",
}


def _child_dict(row: Operation) -> dict[str, Any]:
    error = None
    if row.error_code:
        error = {"code": row.error_code, "message": row.error_message, "details": row.error_details}
    return {
        "id": str(row.pk),
        "instance": None if row.instance_uid is None else str(row.instance_uid),
        "instance_name": row.instance_name,
        "target": row.target,
        "state": row.state,
        "progress": round(row.progress, 1),
        "step": row.step,
        "error": error,
    }


def operation_log(
    actor: Actor, operation_id: str | uuid.UUID, *, after: int = 0, limit: int = 1000
) -> list[dict[str, Any]]:
    """Lines with ``seq`` greater than ``after``, oldest first. Raises ``InvalidInput`` for a ``limit``
    outside 1..``LOG_LINES_MAX``."""
    between("limit", limit, LOG_LINES_MAX)
    operation = operation_get(actor, operation_id)
    rows = OperationLog.objects.filter(operation=operation, pk__gt=after)[:limit]
    return [{"seq": row.pk, "timestamp": time_text(row.timestamp), "line": row.line} for row in rows]


def _visible(actor: Actor) -> QuerySet[Operation]:
    rows = Operation.objects.select_related("user")
    # A parent over several projects belongs to none of them: only whoever asked for it sees it.
    own = Q(is_parent=True, project=None, user_id=actor.user_id)
    return visible(actor, rows, also=own)


def _filtered(rows: QuerySet[Operation], wanted: OperationFilter) -> QuerySet[Operation]:
    if wanted.state:
        rows = rows.filter(state=one_of("state", wanted.state, OperationState))
    if wanted.action:
        rows = rows.filter(action=wanted.action)
    if wanted.target:
        rows = rows.filter(target=wanted.target)
    if wanted.parent:
        rows = rows.filter(_parent(wanted.parent))
    if wanted.q:
        columns = ("action", "instance_name", "target", "user__username", "error_message")
        rows = rows.filter(words_in(wanted.q, *columns))
    if wanted.instance:
        rows = rows.filter(
            by_id_or_name(wanted.instance, id_column="instance_uid", name_column="instance_name")
        )
    if wanted.user:
        rows = rows.filter(by_id_or_name(wanted.user, id_column="user_id", name_column="user__username"))
    return rows


def _parent(wanted: str) -> Q:
    if wanted == "none":
        return Q(parent=None)
    try:
        return Q(parent_id=uuid.UUID(wanted))
    except ValueError:
        raise InvalidInput.field("parent", "must be the id of an operation, or “none”.") from None
