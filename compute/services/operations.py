"""Intent: an Operation row, committed before anything happens; then a bell for the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from compute.actor import Actor
from compute.audit import audit, audit_told, origin_of
from compute.errors import InstanceBusy, InvalidState
from compute.events import Fact, event_publish
from compute.execution.runner import operation_begin
from compute.models import Instance, Node, Operation, Project
from compute.permissions import ACTIONS
from compute.rows import row_insert
from compute.selectors.access import action_require
from compute.selectors.operations import operation_get
from compute.states import ACTIVE_OPERATION_STATES, Action, OperationState
from compute.tasks import operation_ring, parent_ring
from compute.tell import tell

_NOW = Now()
# Of these nothing but a hung engine takes long.
_SHORT = frozenset(
    f"instance.{action}"
    for action in (
        *(Action.CREATE, Action.UPDATE, Action.DELETE, Action.START, Action.STOP, Action.RESTART),
        *(Action.PAUSE, Action.UNPAUSE, Action.KILL, Action.RESET),
    )
)


@dataclass(frozen=True)
class Intent:
    """What an operation will be. Without an instance, ``target`` names what it works on and
    ``project`` whose it is. ``here``: the calling process carries it out itself, because the body of
    the request that asks for it is its input; no bell is rung."""

    action: str
    node: Node
    instance: Instance | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    may_cancel: bool = False
    target: str = ""
    project: Project | None = None
    here: bool = False
    # For the audit: compute.audit.changes_of.
    changes: Mapping[str, Any] = field(default_factory=dict)


def operation_submit(actor: Actor, intent: Intent) -> Operation:
    """Write the intent and ring after commit. Call inside the transaction that checked it.

    Raises ``InstanceBusy`` naming the operation that is at work on the instance.
    """
    instance = intent.instance
    try:
        with transaction.atomic():
            operation = Operation(
                action=intent.action,
                node=intent.node,
                instance=instance,
                instance_uid=instance.pk if instance else None,
                instance_name=instance.name if instance else "",
                target=intent.target[:255],
                project_id=instance.project_id if instance else intent.project.pk if intent.project else None,
                user_id=actor.user_id,
                request_id=actor.request_id[:64],
                remote_address=actor.remote_address[:64],
                token_uid=actor.credential.token_id,
                without_admin=not actor.is_admin,
                origin={**origin_of(actor), **({"changes": intent.changes} if intent.changes else {})},
                params=dict(intent.params),
                may_cancel=intent.may_cancel,
                step="Waiting for a worker",
                dispatched_at=_NOW,
            )
            row_insert(operation)
    except IntegrityError as error:
        raise _busy(instance) from error
    # Its end is audited, with this origin.
    audit_told()
    event_publish(Fact("operation.queued", operation.told, operation=operation, username=actor.username))
    if intent.here:
        # Ours from birth: the lease runs from now on, so the sweeper finds it if this process is lost.
        operation.refresh_from_db()
        operation_begin(operation)
        return operation
    # The row has the database's time; nobody asks this object for it.
    operation.dispatched_at = operation.created_at
    is_short = intent.action in _SHORT
    transaction.on_commit(lambda: operation_ring(str(operation.pk), is_short=is_short))
    return operation


def operation_cancel(actor: Actor, operation_id: str) -> Operation:
    """Ask it to stop: at once when it is still queued, at its next checkpoint when it runs.

    Raises ``InvalidState`` when it is over or cannot be cancelled.
    """
    with transaction.atomic():
        operation = operation_get(actor, operation_id)
        if operation.project_id is not None or operation.user_id != actor.user_id:
            action_require(actor, _action_of(operation), operation.project_id)
        if operation.state not in ACTIVE_OPERATION_STATES:
            raise InvalidState(f"The operation is over: {operation.state}.", state=operation.state)
        queued = Operation.objects.filter(pk=operation.pk, state=OperationState.QUEUED.value)
        if not operation.may_cancel and not queued.exists():
            raise InvalidState("This operation cannot be cancelled once it runs.", state=operation.state)
        Operation.objects.filter(pk=operation.pk).update(cancel_requested=True, may_cancel=True)
        operation.refresh_from_db()
        audit(
            actor, "operation.cancel", str(operation), target_uid=operation.pk, project=operation.project_id
        )
        if operation.is_parent:
            _children_cancel(operation)
            transaction.on_commit(lambda: parent_ring(str(operation.pk)))
        else:
            transaction.on_commit(lambda: operation_ring(str(operation.pk)))
    return operation


def _action_of(operation: Operation) -> str:
    """Who may ask for a change to an instance, or to many, may call it off."""
    action = operation.action.replace("bulk.", "instance.", 1)
    is_known = action.startswith("instance.") and action in ACTIONS
    return action if is_known else "operation.cancel"


def _children_cancel(parent: Operation) -> None:
    """Those that did not begin, and those that can be stopped on the way; the others come to their end."""
    may = Q(state=OperationState.QUEUED.value) | Q(state=OperationState.RUNNING.value, may_cancel=True)
    stopped = Operation.objects.filter(may, parent=parent)
    ids = [str(pk) for pk in stopped.values_list("pk", flat=True)]
    Operation.objects.filter(pk__in=ids).update(cancel_requested=True, may_cancel=True)
    for operation_id in ids:
        transaction.on_commit(partial(operation_ring, operation_id))


def _busy(instance: Instance | None) -> InstanceBusy:
    first = Operation.objects.filter(instance=instance, state__in=sorted(ACTIVE_OPERATION_STATES)).first()
    what = tell(f"“{first.action}” is under way") if first else tell("another operation is under way")
    name = instance.name if instance else ""
    return InstanceBusy(
        f"{name}: {what}. Wait for it or cancel it.", operation=str(first.pk) if first else None
    )
