"""One action on many instances: one operation, a child for each instance, a result for each.

What was asked for is written down item by item; a few children per node are under way at a time, and
each that ends lets the next begin. The rights are those of whoever asked, read when a child begins.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction

from compute.actor import Actor, Credential, Scope
from compute.errors import ComputeError, InstanceNotFound, InvalidInput, PermissionDenied
from compute.execution.lease import READABLE
from compute.models import BulkItem, Instance, Operation, Project
from compute.permissions import holds, rule_of
from compute.selectors.access import operation_actor, permissions_by_project
from compute.selectors.instances import (
    InstanceFilter,
    instance_get,
    instances_by_ids,
    instances_matching,
)
from compute.services.actions import InstanceAction, action_get
from compute.services.idempotency import Idempotency, idempotency_lookup, idempotency_store
from compute.services.parents import Parent, parent_adopt, parent_open, parent_settle
from compute.services.tokens import token_within
from compute.states import ACTIVE_OPERATION_STATES, BulkItemState, OperationState, Permission

ITEMS_MAX = 1000
# A worker runs six operations of one node at once; the rest is for those who press single buttons.
PER_NODE = 4


@dataclass(frozen=True)
class BulkRequest:
    """``ids`` or ``wanted``, not both: these instances, or those that a list with this filter shows now."""

    action: str
    ids: Sequence[uuid.UUID] | None = None
    wanted: InstanceFilter | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    # What does not belong to it is not found, whoever asks.
    project: Project | None = None


@dataclass(frozen=True)
class _Asked:
    """One item as it will be written."""

    uid: uuid.UUID
    row: Instance | None
    error: ComputeError | None = None


def bulk_submit(actor: Actor, asked: BulkRequest, *, idempotency: Idempotency | None = None) -> Operation:
    """Ask for it. What the actor may not see is reported as not found, what they may not do as denied.
    Raises ``InvalidInput`` for an unknown action, wrong options, or more than ``ITEMS_MAX`` instances."""
    earlier = idempotency_lookup(actor, idempotency)
    if earlier is not None:
        return earlier
    action = action_get(asked.action)
    options = action.check(asked.options)
    items = [_within(asked.project, item) for item in _judged(actor, action, _chosen(actor, asked))]
    projects = {item.row.project_id for item in items if item.row is not None}
    single = Project.objects.filter(pk=next(iter(projects))).first() if len(projects) == 1 else None
    project = asked.project or single
    params = {"action": action.word, "options": options, **scope_kept(actor)}
    count = len(items)
    target = f"{count} instance{'' if count == 1 else 's'}"
    with transaction.atomic():
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        parent = parent_open(actor, Parent(f"bulk.{action.word}", target, project, params))
        BulkItem.objects.bulk_create([_row(parent, n, item) for n, item in enumerate(items)])
        idempotency_store(actor, idempotency, parent)
    return parent


def bulk_advance(parent_id: str) -> None:
    """Begin as many children as there is room for, then settle the parent. Any process that can read what
    was asked for, at any time."""
    parent = (
        Operation.objects.filter(READABLE, pk=parent_id, is_parent=True, state=OperationState.RUNNING.value)
        .select_related("user")
        .first()
    )
    if parent is None:
        return
    waiting = BulkItem.objects.filter(parent=parent, state=BulkItemState.WAITING.value)
    for node_uid in list(waiting.order_by("node_uid").values_list("node_uid", flat=True).distinct()):
        of_node = waiting.filter(node_uid=node_uid)
        while (item := of_node.first()) is not None and _begin(parent, item):
            continue
    if Operation.objects.filter(pk=parent.pk, cancel_requested=True).exists():
        waiting.update(state=BulkItemState.CANCELLED.value)
    parent_settle(parent_id)


def actor_again(operation: Operation) -> Actor:
    """Whoever asked for it, with the rights they have now, never more than what they came in with gave
    them and gives them still. Raises ``PermissionDenied`` when the account is gone or was switched off,
    ``Unauthenticated`` when the token is."""
    user = operation.user
    if user is None or not user.is_active:
        raise PermissionDenied("The account that asked for this is gone or was switched off.")
    scope = operation.params.get("scope")
    actor = operation_actor(operation)
    if scope is None:
        return actor
    return replace(actor, credential=token_within(operation.token_uid, scope_read(scope)))


def _chosen(actor: Actor, asked: BulkRequest) -> list[_Asked]:
    if (asked.ids is None) == (asked.wanted is None):
        raise InvalidInput.field("ids", "give either ids or a filter.")
    if asked.wanted is not None:
        rows = instances_matching(actor, asked.wanted, ITEMS_MAX + 1)
        if len(rows) > ITEMS_MAX:
            raise InvalidInput.field(
                "filter", f"matches more than {ITEMS_MAX} instances; narrow it and ask in parts."
            )
        return [_Asked(row.pk, row) for row in rows]
    ids = list(dict.fromkeys(asked.ids or ()))
    if not 1 <= len(ids) <= ITEMS_MAX:
        raise InvalidInput.field("ids", f"must be 1 to {ITEMS_MAX} ids.")
    found = instances_by_ids(actor, ids)
    return [_Asked(uid, found.get(uid), None if uid in found else _unknown(uid)) for uid in ids]


def _within(project: Project | None, item: _Asked) -> _Asked:
    if project is None or item.row is None or item.row.project_id == project.pk:
        return item
    return _Asked(item.uid, None, _unknown(item.uid))


def _unknown(uid: uuid.UUID) -> InstanceNotFound:
    return InstanceNotFound(f"There is no instance “{uid}”.", instance=str(uid))


def _judged(actor: Actor, action: InstanceAction, items: Sequence[_Asked]) -> list[_Asked]:
    projects = {str(item.row.project_id) for item in items if item.row is not None}
    allowed = permissions_by_project(actor, projects)
    return [
        _Asked(item.uid, item.row, _denied(action))
        if item.row is not None and not holds(allowed[str(item.row.project_id)], action.needs)
        else item
        for item in items
    ]


def _denied(action: InstanceAction) -> PermissionDenied:
    permission = rule_of(action.needs).permission
    return PermissionDenied(
        f"Your role does not have the permission “{permission}” here. Ask an administrator.",
        permission=str(permission),
        action=action.needs,
    )


def _row(parent: Operation, position: int, item: _Asked) -> BulkItem:
    row = BulkItem(
        parent=parent,
        position=position,
        instance_uid=item.uid,
        instance_name=item.row.name if item.row else "",
        node_uid=item.row.node_id if item.row else None,
    )
    if item.error is not None:
        _refused(row, item.error)
    return row


def _refused(item: BulkItem, error: ComputeError) -> None:
    item.state = BulkItemState.REFUSED.value
    item.error_code, item.error_message = error.code, error.message[:2000]
    item.error_details = error.details


def _begin(parent: Operation, item: BulkItem) -> bool:
    """Take one item. False when its node has as many under way as it may, or the rest was called off."""
    try:
        with transaction.atomic():
            # In this order for everybody, so that those who come at once count one after the other.
            now = Operation.objects.select_for_update(no_key=True).get(pk=parent.pk)
            if now.cancel_requested:
                return False
            if _under_way(parent, item) >= PER_NODE:
                return False
            mine = BulkItem.objects.filter(pk=item.pk, state=BulkItemState.WAITING.value)
            if not mine.update(state=BulkItemState.STARTED.value):
                return True
            child = _ask(parent, item)
            if child is None:
                BulkItem.objects.filter(pk=item.pk).update(state=BulkItemState.UNCHANGED.value)
            else:
                parent_adopt(parent, child)
                BulkItem.objects.filter(pk=item.pk).update(operation=child)
    except ComputeError as error:
        _refused(item, error)
        BulkItem.objects.filter(pk=item.pk, state=BulkItemState.WAITING.value).update(
            state=item.state,
            error_code=item.error_code,
            error_message=item.error_message,
            error_details=item.error_details,
        )
    return True


def _ask(parent: Operation, item: BulkItem) -> Operation | None:
    action = action_get(parent.params["action"])
    actor = actor_again(parent)
    return action.act(actor, instance_get(actor, item.instance_uid), parent.params["options"])


def _under_way(parent: Operation, item: BulkItem) -> int:
    active = Operation.objects.filter(parent=parent, state__in=sorted(ACTIVE_OPERATION_STATES))
    return active.filter(node_id=item.node_uid).count()


def scope_kept(actor: Actor) -> dict[str, Any]:
    """``{"scope": ...}`` of a narrowed token, else nothing: kept for work that is done later."""
    scope = actor.credential.scope
    if scope is None:
        return {}
    projects = None if scope.project_ids is None else sorted(str(each) for each in scope.project_ids)
    return {"scope": {"permissions": sorted(str(word) for word in scope.permissions), "projects": projects}}


def scope_read(kept: Mapping[str, Any]) -> Scope:
    """What ``scope_kept`` kept under ``scope``."""
    projects = kept["projects"]
    return Scope(
        frozenset(Permission(word) for word in kept["permissions"]),
        None if projects is None else frozenset(uuid.UUID(each) for each in projects),
    )


def credential_again(token_uid: uuid.UUID | None, kept: Mapping[str, Any] | None) -> Credential:
    """Of what was written down earlier with this scope, None without a narrowed token. Raises
    ``Unauthenticated`` when the token does not work any more."""
    return Credential() if kept is None else token_within(token_uid, scope_read(kept))
