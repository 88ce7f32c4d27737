"""What an actor may see and do. Read from the database at every use, never cached."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Model, Q, QuerySet

from compute.actor import Actor, Credential
from compute.audit import audit_refused
from compute.errors import NotFound, PermissionDenied
from compute.models import Membership, Operation, Project, User
from compute.permissions import Reach, rule_of
from compute.states import ROLE_PERMISSIONS, Permission, Role

M = TypeVar("M", bound=Model)


def actor_for(
    user: User,
    *,
    remote_address: str = "",
    request_id: str = "",
    credential: Credential | None = None,
    user_agent: str = "",
) -> Actor:
    """The actor behind a request of ``user``; a token's scope narrows what an administrator is."""
    scope = credential.scope if credential else None
    is_admin = user.is_superuser and user.is_active and not second_factor_missing(user)
    return Actor(
        user_id=user.pk,
        username=user.get_username(),
        is_admin=is_admin and (scope is None or scope.is_whole),
        remote_address=remote_address,
        request_id=request_id,
        is_admin_account=is_admin,
        credential=credential or Credential(),
        user_agent=user_agent,
    )


def operation_actor(operation: Operation) -> Actor:
    """Who asked for it, with the rights of now, and without an administrator's where it was asked for
    without them: by a narrowed token. An account that was removed has none."""
    user = operation.user
    credential = Credential(token_id=operation.token_uid)
    came = {"user_agent": operation.origin.get("user_agent", ""), "via": operation.origin.get("method", "")}
    if user is None:
        return Actor(None, "", remote_address=operation.remote_address, credential=credential, **came)
    actor = actor_for(
        user,
        remote_address=operation.remote_address,
        request_id=operation.request_id,
        credential=credential,
    )
    return replace(actor, is_admin=actor.is_admin and not operation.without_admin, **came)


def second_factor_missing(user: User) -> bool:
    """Whether the site asks administrators for a second factor and this one has none: until it is set
    up, such an account has only its memberships."""
    return user.is_superuser and not user.second_factor and second_factor_required()


def second_factor_required() -> bool:
    return bool(settings.LIBGO["access"]["second_factor"] == "admins")


def visible(
    actor: Actor, rows: QuerySet[M], column: str = "project", *, also: Q | None = None
) -> QuerySet[M]:
    """Only the rows of projects the actor is a member of, and those of ``also``; a sub-query, not a second
    query."""
    if actor.is_admin:
        return rows
    of_projects = Q(**{f"{column}__in": _projects(actor)})
    return rows.filter(of_projects if also is None else of_projects | also)


def project_ids_visible(actor: Actor) -> set[uuid.UUID] | None:
    """None means all of them."""
    return None if actor.is_admin else set(_projects(actor))


def permissions_in(actor: Actor, project_id: uuid.UUID | None) -> frozenset[Permission]:
    """What the actor may do to things of this project."""
    if actor.is_admin:
        return frozenset(Permission)
    if project_id is None:
        return frozenset()
    return permissions_by_project(actor, [str(project_id)])[str(project_id)]


def permissions_by_project(actor: Actor, project_ids: Iterable[str]) -> dict[str, frozenset[Permission]]:
    """``permissions_in`` for many projects, ids as text, by one query at most."""
    wanted = set(project_ids)
    if actor.is_admin:
        return dict.fromkeys(wanted, frozenset(Permission))
    if actor.is_admin_account:
        found = dict.fromkeys(wanted, frozenset(Permission))
    else:
        rows = Membership.objects.filter(user_id=actor.user_id, user__is_active=True, project_id__in=wanted)
        found = {str(row.project_id): ROLE_PERMISSIONS[Role(row.role)] for row in rows}
    return {each: _narrowed(actor, each, found.get(each, frozenset())) for each in wanted}


def admin_require(actor: Actor) -> None:
    """Raises ``PermissionDenied`` unless the actor is a site administrator."""
    if not actor.is_admin:
        if actor.is_admin_account:
            raise PermissionDenied(
                "This token does not reach as far as its administrator. Use one with the scope “admin” for "
                "all projects.",
                permission=str(Permission.ADMIN),
            )
        raise PermissionDenied("Only an administrator may do this.", permission=str(Permission.ADMIN))


def action_allowed(actor: Actor, action: str, project_id: uuid.UUID | None = None) -> bool:
    """What the matrix says to this actor: in the project ``project_id``, or to a thing of the host."""
    rule = rule_of(action)
    if actor.is_admin or rule.reach is Reach.PUBLIC:
        return True
    if rule.reach is Reach.SITE:
        return False
    if rule.reach in (Reach.OWN, Reach.SHARED):
        return actor.user_id is not None
    if project_id is None:
        return rule.permission is Permission.READ
    return rule.permission in permissions_in(actor, project_id)


def action_require(actor: Actor, action: str, project_id: uuid.UUID | None = None) -> None:
    """The one question all doors ask. Raises ``NotFound`` for a foreign project, ``PermissionDenied``
    naming the action and the right that is missing."""
    if action_allowed(actor, action, project_id):
        return
    rule = rule_of(action)
    if rule.reach is Reach.SITE or project_id is None:
        audit_refused({"action": action})
        try:
            admin_require(actor)
        except PermissionDenied as error:
            raise PermissionDenied(error.message, **error.details, action=action) from None
    if not permissions_in(actor, project_id):
        raise NotFound("There is no such thing in your projects.")
    audit_refused({"action": action})
    raise PermissionDenied(
        f"Your role does not have the permission “{rule.permission}” here. Ask an administrator.",
        permission=str(rule.permission),
        action=action,
    )


def action_somewhere(actor: Actor, actions: Iterable[str]) -> frozenset[str]:
    """Those of ``actions`` which the actor may do in some project or to something, by one query: what a
    menu shows."""
    if actor.is_admin:
        return frozenset(actions)
    rows = Membership.objects.filter(user_id=actor.user_id, user__is_active=True)
    rights = {right for role in rows.values_list("role", flat=True) for right in ROLE_PERMISSIONS[Role(role)]}
    return frozenset(
        action
        for action in actions
        if (rule := rule_of(action)).reach is not Reach.SITE
        and (
            rule.reach is not Reach.PROJECT or rule.permission is Permission.READ or rule.permission in rights
        )
    )


def projects_matter() -> bool:
    """Whether there is any project beside the default one: without, nobody is told of projects."""
    return Project.objects.filter(is_default=False).exists()


def person_require(actor: Actor) -> None:
    """Raises ``PermissionDenied`` for a token: with one that was stolen nobody shall make more of them,
    or shut the person out."""
    if actor.credential.token_id is not None:
        raise PermissionDenied("A personal token may not do this. Log in with your password.", rule="token")


def _narrowed(actor: Actor, project_id: str, own: frozenset[Permission]) -> frozenset[Permission]:
    scope = actor.credential.scope
    if scope is None:
        return own
    if scope.project_ids is not None and project_id not in {str(each) for each in scope.project_ids}:
        return frozenset()
    return own & scope.permissions


def _projects(actor: Actor) -> QuerySet[Any, uuid.UUID]:
    """An administrator's narrowed token reaches the projects, and what belongs to the site in none of
    its ways."""
    scope = actor.credential.scope
    chosen = None if scope is None else scope.project_ids
    if actor.is_admin_account:
        projects = Project.objects.all() if chosen is None else Project.objects.filter(pk__in=chosen)
        return projects.order_by().values_list("pk", flat=True)
    rows = Membership.objects.filter(user_id=actor.user_id, user__is_active=True)
    if chosen is not None:
        rows = rows.filter(project_id__in=chosen)
    return rows.values_list("project_id", flat=True)
