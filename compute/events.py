"""The only one that tells the screens: facts, in one envelope.

A fact is an :class:`Event` row and, once its transaction is committed, one message
``{audience, envelope}`` to the hub of each web process (``compute.facthub``), which hands the envelope
``{type, seq, timestamp, data}`` to those who may see it. Progress of operations is sent without a row:
it is worth nothing a second later.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from compute.broadcast import messages_send
from compute.live import ENDS, RIGHTS, bell_ring
from compute.models import Event, Instance, Node, Operation
from compute.rows import rows_insert
from compute.selectors.page import time_text
from compute.states import ACTIVE_OPERATION_STATES, OperationState

# What a fact of an operation that does not tell the state is about: one that was asked for.
_ACTIVE = OperationState.QUEUED.value
# What all facts are broadcast as.
FACTS = "facts"
# Audiences of a fact: only those who see everything (administrators, who see all others, too); every
# member (nodes); else the id of the project whose members see it.
EVERYTHING, SITE = "everything", "site"


def audiences_of(projects: Iterable[uuid.UUID] | None) -> frozenset[str]:
    """Of which facts one is told who sees these projects; None are all."""
    return frozenset({EVERYTHING} if projects is None else {SITE, *map(str, projects)})


@dataclass(frozen=True)
class Fact:
    """What happened. Give the rows it is about; ids and names are taken from them."""

    type: str
    message: str = ""
    instance: Instance | None = None
    operation: Operation | None = None
    node: Node | None = None
    project_id: uuid.UUID | None = None
    user_id: uuid.UUID | None = None
    username: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def event_publish(fact: Fact) -> Event:
    """Record a fact and tell the screens when the transaction commits."""
    return events_publish([fact])[0]


def events_publish(facts: list[Fact]) -> list[Event]:
    """Record many facts with one insert."""
    rows = [_row(fact) for fact in facts]
    rows_insert(Event, rows)

    transaction.on_commit(lambda: _tell(rows))
    return rows


def operation_progress_send(operation_id: str, project_id: str | None, data: Mapping[str, Any]) -> None:
    """Tell the screens how far an operation is; not kept."""
    envelope = _envelope("operation.progress", None, timezone.now(), {"operation": operation_id, **data})
    messages_send(FACTS, [_message(project_id or EVERYTHING, envelope)])


def rights_changed(*user_ids: uuid.UUID | str | None) -> None:
    """Tell what is open that it must ask again whether it may: at once after the commit."""
    users = [str(user_id) for user_id in user_ids if user_id is not None]
    if users:
        transaction.on_commit(lambda: bell_ring(RIGHTS, users))


def event_data(row: Event) -> dict[str, Any]:
    """The ``data`` of the envelope, and the row of ``GET /events``."""
    return {
        "seq": row.seq,
        "type": row.type,
        "action": row.action,
        "instance": _text(row.instance_uid),
        "instance_name": row.instance_name,
        "operation": _text(row.operation_uid),
        "node": _text(row.node_uid),
        "project": _text(row.project_uid),
        "user": row.username or None,
        "message": row.message,
        "details": row.details,
        "timestamp": time_text(row.timestamp),
    }


def _row(fact: Fact) -> Event:
    instance, operation, node = fact.instance, fact.operation, fact.node
    project_id = instance.project_id if instance else operation.project_id if operation else fact.project_id
    node_id = node.pk if node else instance.node_id if instance else operation.node_id if operation else None
    return Event(
        type=fact.type,
        action=operation.action if operation else "",
        instance_uid=instance.pk if instance else operation.instance_uid if operation else None,
        instance_name=instance.name if instance else operation.instance_name if operation else "",
        operation_uid=operation.pk if operation else None,
        node_uid=node_id,
        project_uid=project_id,
        user_uid=fact.user_id or (operation.user_id if operation else None),
        username=fact.username,
        message=fact.message[:1000],
        details=dict(fact.details),
        timestamp=timezone.now(),
    )


def _message_of(row: Event) -> dict[str, Any]:
    envelope = _envelope(row.type, row.seq, row.timestamp, event_data(row))
    return _message(_text(row.project_uid) or SITE, envelope)


def _message(audience: str, envelope: dict[str, Any]) -> dict[str, Any]:
    return {"type": "fact", "audience": audience, "envelope": envelope}


def _tell(rows: list[Event]) -> None:
    ended = [str(row.operation_uid) for row in rows if _is_end(row)]
    if ended:
        bell_ring(ENDS, ended)
    messages_send(FACTS, [_message_of(row) for row in rows])


def _is_end(row: Event) -> bool:
    is_told = row.type.startswith("operation.") and row.operation_uid is not None
    return is_told and row.details.get("state", _ACTIVE) not in ACTIVE_OPERATION_STATES


def _envelope(kind: str, seq: int | None, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    envelope: dict[str, Any] = {
        "type": kind,
        "timestamp": time_text(at),
        "data": dict(data),
    }
    if seq is not None:
        envelope["seq"] = seq
    return envelope


def _text(value: uuid.UUID | None) -> str | None:
    return None if value is None else str(value)
