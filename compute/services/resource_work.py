"""What every service for things that are no instances does: find the node and the project, check the
right, write the intent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Q

from compute.actor import Actor
from compute.errors import InvalidState, NameConflict
from compute.models import Node, Operation, Project, Resource
from compute.selectors.access import action_require
from compute.selectors.nodes import backend_node
from compute.services.idempotency import Idempotency, idempotency_lookup, idempotency_store
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_submit
from compute.services.projects import project_for
from compute.states import ACTIVE_OPERATION_STATES

# More than anybody uses, and far fewer than make lists and engines slow.
PER_PROJECT_MAX = {"volume": 2000, "network": 200}


@dataclass(frozen=True)
class Where:
    """The engine that is meant, and whose the work is."""

    node: Node
    project: Project


def where(actor: Actor, action: str, *, backend: str, node: str = "", project: str | None = None) -> Where:
    """Raises ``NodeNotFound``, ``NotFound``, ``PermissionDenied`` when the role does not allow ``action``
    in the project, and ``BackendUnavailable`` when the node does not answer."""
    found, whose = backend_node(actor, backend, node), project_for(actor, project)
    action_require(actor, action, whose.pk)
    node_require(found)
    return Where(found, whose)


@dataclass(frozen=True)
class Work:
    """An operation on something that is no instance, as it will be recorded."""

    action: str
    target: str
    params: Mapping[str, Any] = field(default_factory=dict)
    may_cancel: bool = False
    here: bool = False


def work_submit(actor: Actor, at: Where, work: Work, *, idempotency: Idempotency | None = None) -> Operation:
    """Write the intent; the same idempotency key gives the first operation again."""
    with transaction.atomic():
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        intent = Intent(
            work.action,
            at.node,
            params=work.params,
            may_cancel=work.may_cancel,
            target=work.target,
            project=at.project,
            here=work.here,
        )
        operation = operation_submit(actor, intent)
        idempotency_store(actor, idempotency, operation)
    return operation


@dataclass(frozen=True)
class Pruning:
    """What would go, or the operation that removes it."""

    items: list[dict[str, Any]]
    operation: Operation | None = None


def change_require(actor: Actor, row: Resource, action: str) -> Where:
    """The node and the project to which a change of ``row`` belongs. Raises ``PermissionDenied``: the
    host's own things are changed by administrators; ``BackendUnavailable``."""
    action_require(actor, action, row.project_id)
    node_require(row.node)
    return Where(row.node, row.project or project_for(actor, None))


def name_free(node: Node, kind: str, name: str) -> None:
    """Raises ``NameConflict``, whose ever it is; call under ``limits_lock``, which orders those who ask
    for the same name at once."""
    active = Operation.objects.filter(
        action=f"{kind}.create", node=node, target=name, state__in=sorted(ACTIVE_OPERATION_STATES)
    )
    if active.exists() or Resource.objects.filter(node=node, kind=kind, name=name).exists():
        raise NameConflict(
            f"There is already a {kind} “{name}” on {node.name}; take another name.", name=name
        )


def count_check(at: Where, kind: str) -> None:
    """Raises ``InvalidState`` when the project has as many of this kind as may be, those under way counted;
    call under ``limits_lock``. What they take of a disk is counted elsewhere; these have none, or little."""
    there = Resource.objects.filter(project=at.project, kind=kind).count()
    making = Operation.objects.filter(
        action=f"{kind}.create", project=at.project, state__in=sorted(ACTIVE_OPERATION_STATES)
    )
    if there + making.count() >= (most := PER_PROJECT_MAX[kind]):
        raise InvalidState(f"A project has at most {most} of these. Remove what is not used.", state="full")


def prune_where(
    actor: Actor, action: str, *, backend: str, node: str, project: str | None
) -> tuple[Where, Q]:
    """Where to prune, and which rows: an administrator who names no project means the whole node."""
    at = where(actor, action, backend=backend, node=node, project=project)
    return at, Q() if actor.is_admin and project is None else Q(project=at.project)
