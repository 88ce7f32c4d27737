"""What an actor may see and do. Read from the database at every use, never cached."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TypeVar

from django.db.models import Model, Q, QuerySet

from compute.actor import Actor
from compute.errors import PermissionDenied
from compute.models import Membership, User
from compute.states import ROLE_PERMISSIONS, Permission, Role

M = TypeVar("M", bound=Model)


def actor_for(user: User, *, remote_address: str = "", request_id: str = "") -> Actor:
    """The actor behind a request of ``user``."""
    return Actor(
        user_id=user.pk,
        username=user.get_username(),
        is_admin=user.is_superuser and user.is_active,
        remote_address=remote_address,
        request_id=request_id,
    )


def visible(actor: Actor, rows: QuerySet[M], column: str = "project") -> QuerySet[M]:
    """Only the rows of projects the actor is a member of; a sub-query, not a second query."""
    if actor.is_admin:
        return rows
    return rows.filter(Q(**{f"{column}__in": _projects(actor)}))


def project_ids_visible(actor: Actor) -> set[uuid.UUID] | None:
    """None means all of them."""
    return None if actor.is_admin else set(_projects(actor))


def permissions_in(actor: Actor, project_id: uuid.UUID | None) -> frozenset[Permission]:
    """What the actor may do to things of this project."""
    if actor.is_admin:
        return frozenset(Permission)
    membership = Membership.objects.filter(
        user_id=actor.user_id, user__is_active=True, project_id=project_id
    ).first()
    return ROLE_PERMISSIONS[Role(membership.role)] if membership else frozenset()


def permissions_by_project(actor: Actor, project_ids: Iterable[str]) -> dict[str, frozenset[Permission]]:
    """``permissions_in`` for many projects, ids as text, by one query at most."""
    wanted = set(project_ids)
    if actor.is_admin:
        return dict.fromkeys(wanted, frozenset(Permission))
    rows = Membership.objects.filter(user_id=actor.user_id, user__is_active=True, project_id__in=wanted)
    found = {str(row.project_id): ROLE_PERMISSIONS[Role(row.role)] for row in rows}
    return {project_id: found.get(project_id, frozenset()) for project_id in wanted}


def permission_require(actor: Actor, permission: Permission, project_id: uuid.UUID | None) -> None:
    """Raises ``PermissionDenied`` naming the missing permission."""
    if permission not in permissions_in(actor, project_id):
        raise PermissionDenied(
            f"Your role does not have the permission “{permission}” here. Ask an administrator.",
            permission=str(permission),
        )


def admin_require(actor: Actor) -> None:
    """Raises ``PermissionDenied`` unless the actor is a site administrator."""
    if not actor.is_admin:
        raise PermissionDenied("Only an administrator may do this.", permission=str(Permission.ADMIN))


def roles_of(user: User) -> list[str]:
    """The distinct roles of an account over all its projects, for its profile."""
    if user.is_superuser:
        return [Role.ADMIN.value]
    return sorted(set(Membership.objects.filter(user=user).values_list("role", flat=True)))


def _projects(actor: Actor) -> QuerySet[Membership, uuid.UUID]:
    rows = Membership.objects.filter(user_id=actor.user_id, user__is_active=True)
    return rows.values_list("project_id", flat=True)
