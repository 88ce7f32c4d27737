"""What every service of this app does: find the node and the project, check the right, write the intent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.models import Node, Operation, Project
from compute.selectors.access import permission_require
from compute.services.idempotency import Idempotency, idempotency_lookup, idempotency_store
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_submit
from compute.services.projects import project_for
from compute.states import Permission
from dockerapp.selectors.nodes import docker_node


@dataclass(frozen=True)
class Where:
    """The engine that is meant, and whose the work is."""

    node: Node
    project: Project


def where(actor: Actor, permission: Permission, *, node: str = "", project: str | None = None) -> Where:
    """Raises ``NodeNotFound``, ``NotFound``, ``PermissionDenied`` without ``permission`` in the
    project, and ``BackendUnavailable`` when the node does not answer."""
    found, whose = docker_node(actor, node), project_for(actor, project)
    permission_require(actor, permission, whose.pk)
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
