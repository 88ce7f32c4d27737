"""What changes of networks and volumes have in common: whose they are, which names are free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from compute.actor import Actor
from compute.errors import InvalidInput, NameConflict
from compute.models import Node, Operation, Resource
from compute.selectors.access import admin_require, permission_require
from compute.services.nodes import node_require
from compute.services.projects import project_for
from compute.states import ACTIVE_OPERATION_STATES, Permission
from dockerapp.services.common import Where, where

_OPTIONS_MAX = 64


@dataclass(frozen=True)
class Pruning:
    """What would go, or the operation that removes it."""

    items: list[dict[str, Any]]
    operation: Operation | None = None


def change_require(actor: Actor, row: Resource, permission: Permission) -> Where:
    """The node and the project to which a change of ``row`` belongs. Raises ``PermissionDenied``: the
    host's own things are changed by administrators; ``BackendUnavailable``."""
    if row.project is None:
        admin_require(actor)
    else:
        permission_require(actor, permission, row.project_id)
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


def prune_where(actor: Actor, node: str, project: str | None) -> tuple[Where, Q]:
    """Where to prune, and which rows: an administrator who names no project means the whole node."""
    at = where(actor, Permission.DELETE, node=node, project=project)
    return at, Q() if actor.is_admin and project is None else Q(project=at.project)


def text_options(field: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Options of a driver: short texts by key. Raises ``InvalidInput``."""
    if not isinstance(given, Mapping) or len(given) > _OPTIONS_MAX:
        raise InvalidInput.field(field, f"must be an object of at most {_OPTIONS_MAX} texts.")
    for key, value in given.items():
        if not isinstance(key, str) or not 0 < len(key) <= 256 or not key.isprintable():
            raise InvalidInput.field(field, "keys must be printable text of 1 to 256 characters.")
        if not isinstance(value, str) or len(value) > 4096 or "\x00" in value:
            raise InvalidInput.field(f"{field}.{key}", "must be text of at most 4096 characters.")
    return dict(given)
