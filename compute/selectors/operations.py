"""Every read of operations."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from compute.actor import Actor
from compute.errors import InvalidInput, OperationNotFound
from compute.models import Operation, OperationLog
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name
from compute.selectors.page import Page, order_by, page_bounds, time_text
from compute.states import ACTIVE_OPERATION_STATES, OperationState

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
    name of what is no instance."""

    state: str = ""
    action: str = ""
    instance: str = ""
    user: str = ""
    target: str = ""
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


def operations_active_count(actor: Actor) -> int:
    """How many of those the actor sees have not ended."""
    return _visible(actor).filter(state__in=sorted(ACTIVE_OPERATION_STATES)).count()


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
        "result": row.result,
        "created_at": time_text(row.created_at),
        "started_at": time_text(row.started_at),
        "finished_at": time_text(row.finished_at),
        "may_cancel": row.may_cancel and row.state in ACTIVE_OPERATION_STATES and not row.cancel_requested,
        "parent": None if row.parent_id is None else str(row.parent_id),
    }


def operation_log(
    actor: Actor, operation_id: str | uuid.UUID, *, after: int = 0, limit: int = 1000
) -> list[dict[str, Any]]:
    """Lines with ``seq`` greater than ``after``, oldest first."""
    operation = operation_get(actor, operation_id)
    rows = OperationLog.objects.filter(operation=operation, pk__gt=after)[: min(limit, LOG_LINES_MAX)]
    return [{"seq": row.pk, "timestamp": time_text(row.timestamp), "line": row.line} for row in rows]


def _visible(actor: Actor) -> QuerySet[Operation]:
    return visible(actor, Operation.objects.select_related("user"))


def _filtered(rows: QuerySet[Operation], wanted: OperationFilter) -> QuerySet[Operation]:
    if wanted.state:
        known = [state.value for state in OperationState]
        if wanted.state not in known:
            raise InvalidInput.field("state", f"“{wanted.state[:50]}” is not one of {', '.join(known)}.")
        rows = rows.filter(state=wanted.state)
    if wanted.action:
        rows = rows.filter(action=wanted.action)
    if wanted.target:
        rows = rows.filter(target=wanted.target)
    if wanted.instance:
        rows = rows.filter(
            by_id_or_name(wanted.instance, id_column="instance_uid", name_column="instance_name")
        )
    if wanted.user:
        rows = rows.filter(by_id_or_name(wanted.user, id_column="user_id", name_column="user__username"))
    return rows
