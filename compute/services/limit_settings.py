"""Read and set the limits of the site, of projects and of users."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.audit import audit
from compute.models import Project, SiteLimits, User, UserLimits
from compute.selectors.access import action_require
from compute.selectors.limits import (
    MAXIMUMS,
    Scope,
    project_scope,
    site_rules,
    site_scope,
    usage_by,
    usage_of,
    user_maximums,
    user_scope,
)
from compute.services.accounts import user_get
from compute.services.projects import limits_dict, project_get

_RULES = ("assumed_cpu_cores", "assumed_memory_bytes", "cpu_overcommit", "memory_overcommit")


def site_limits_read(actor: Actor) -> dict[str, Any]:
    """What is in force, and ``usage``; for everybody who is logged in."""
    rules = site_rules()
    in_force = {**rules.maximums, **{name: getattr(rules, name) for name in _RULES}}
    return {**in_force, "usage": _usage(site_scope(rules))}


def site_limits_own() -> dict[str, Any]:
    """What administrators have set, without the configuration's."""
    row = SiteLimits.objects.filter(pk=SiteLimits.ID).first()
    return {name: getattr(row, name, None) for name in (*MAXIMUMS, *_RULES)}


def site_limits_set(actor: Actor, given: Mapping[str, Any]) -> dict[str, Any]:
    """Merge; null gives back to the configuration. Administrators only."""
    action_require(actor, "site.limits")
    with transaction.atomic():
        row, _ = SiteLimits.objects.get_or_create(pk=SiteLimits.ID)
        before = {name: getattr(row, name) for name in (*MAXIMUMS, *_RULES)}
        _merge(row, before, given)
        row.save()
        _tell(actor, "limits.site", "site", None, before, given)
    return site_limits_read(actor)


def project_limits_read(actor: Actor, id_or_name: str | uuid.UUID) -> dict[str, Any]:
    """Raises ``NotFound``."""
    project = project_get(actor, id_or_name)
    return {**limits_dict(project), "usage": _usage(project_scope(project))}


def project_limits_set(actor: Actor, id_or_name: str | uuid.UUID, given: Mapping[str, Any]) -> dict[str, Any]:
    """Merge; null: no limit. Administrators only. What is there already stays, also beyond it."""
    with transaction.atomic():
        project = project_get(actor, id_or_name)
        action_require(actor, "project.limits")
        before = limits_dict(project)
        _merge(project, before, given)
        project.save(update_fields=list(MAXIMUMS))
        _tell(actor, "limits.project", project.name, project.pk, before, given)
    return project_limits_read(actor, project.pk)


def user_limits_read(actor: Actor, user_id: str | uuid.UUID) -> dict[str, Any]:
    """Of what the user has created, in whatever project; one's own, for administrators anybody's. Raises
    ``NotFound``."""
    user = user_get(actor, user_id)
    scope = user_scope(user.pk)
    return {**user_maximums(user), "usage": _usage(scope) if scope else {}}


def user_limits_set(actor: Actor, user_id: str | uuid.UUID, given: Mapping[str, Any]) -> dict[str, Any]:
    """Merge; null: no limit. Administrators only."""
    action_require(actor, "user.update")
    with transaction.atomic():
        user = user_get(actor, user_id)
        row, _ = UserLimits.objects.get_or_create(user=user)
        before = user_maximums(user)
        _merge(row, before, given)
        row.save()
        _tell(actor, "limits.user", user.get_username(), user.pk, before, given)
    return user_limits_read(actor, user.pk)


def limits_overview(actor: Actor) -> dict[str, Any]:
    """``{"site", "projects", "users"}`` with the usage of each, by few queries. Administrators only."""
    action_require(actor, "site.limits")
    rules = site_rules()
    by_project, by_user = usage_by("project_id", rules), usage_by("created_by_id", rules)
    users = User.objects.select_related("limits").order_by("username")
    return {
        "site": site_limits_read(actor),
        "projects": [
            {"id": str(row.pk), "name": row.name, **limits_dict(row), "usage": by_project.get(row.pk, {})}
            for row in Project.objects.all()
        ],
        "users": [
            {
                "id": str(row.pk),
                "name": row.get_username(),
                **{column: getattr(getattr(row, "limits", None), column, None) for column in MAXIMUMS},
                "usage": by_user.get(row.pk, {}),
            }
            for row in users
        ],
    }


def _usage(scope: Scope) -> dict[str, Any]:
    used = usage_of([scope], site_rules())[0]
    return {**used, "cpu_cores": round(used["cpu_cores"], 6)}


def _merge(row: Any, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for name in known:
        if name in given:
            setattr(row, name, given[name])


def _tell(
    actor: Actor,
    action: str,
    target: str,
    uid: uuid.UUID | None,
    before: Mapping[str, Any],
    given: Mapping[str, Any],
) -> None:
    changed = sorted(name for name in before if name in given and given[name] != before[name])
    details = {"before": {n: before[n] for n in changed}, "after": {n: given[n] for n in changed}}
    audit(actor, action, target, target_uid=uid, details=details)
