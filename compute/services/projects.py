"""Projects and who is in them. A project's own admins see to its members."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from compute.actor import Actor
from compute.audit import audit, changes_of
from compute.errors import InvalidInput, InvalidState, NameConflict, NotFound
from compute.events import rights_changed
from compute.models import Membership, Project, User
from compute.selectors.access import action_require, visible
from compute.selectors.identity import by_id_or_name
from compute.selectors.prepared import Prepared
from compute.services.instance_body import name_check
from compute.states import Role

PROJECT_LIMITS = ("max_instances", "max_cpu_cores", "max_memory_bytes", "max_storage_bytes")


def project_dict(project: Project) -> dict[str, Any]:
    return {
        "id": str(project.pk),
        "name": project.name,
        "description": project.description,
        "is_default": project.is_default,
        "limits": limits_dict(project),
    }


def limits_dict(project: Project) -> dict[str, Any]:
    return {name: getattr(project, name) for name in PROJECT_LIMITS}


def _settings(project: Project) -> dict[str, Any]:
    return {"name": project.name, "description": project.description, **limits_dict(project)}


def projects_list(actor: Actor) -> list[dict[str, Any]]:
    return [project_dict(row) for row in visible(actor, Project.objects.all(), "pk")]


def project_get(actor: Actor, id_or_name: str | uuid.UUID) -> Project:
    """Raises ``NotFound`` for what the actor is no member of."""
    found = visible(actor, Project.objects.all(), "pk").filter(by_id_or_name(id_or_name)).first()
    if found is None:
        raise NotFound("There is no such project.")
    return found


# Where everything is visible: the default one, else the first.
_DEFAULT = Prepared(lambda: Project.objects.order_by("-is_default", "name")[:1], keys=0)


def project_for(actor: Actor, wanted: str | None) -> Project:
    """Whose a new thing will be: the project asked for, else the default one, else one's first. Raises
    ``NotFound``."""
    rows = visible(actor, Project.objects.all(), "pk")
    if wanted is None and actor.is_admin:
        found = _DEFAULT.first()
    elif wanted is None:
        found = rows.filter(is_default=True).first() or rows.first()
    else:
        found = rows.filter(by_id_or_name(wanted)).first()
    if found is None:
        raise NotFound("There is no such project, or you are not a member of any.", project=wanted)
    return found


def project_create(actor: Actor, given: Mapping[str, Any]) -> Project:
    action_require(actor, "project.create")
    name = name_check(given.get("name"))
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name, description=given.get("description", ""))
            audit(actor, "project.create", name, target_uid=project.pk)
    except IntegrityError as error:
        raise NameConflict(f"There is already a project “{name}”.") from error
    return project


def project_update(actor: Actor, id_or_name: str | uuid.UUID, given: Mapping[str, Any]) -> Project:
    """Merge ``name``, ``description`` and limits (null: no limit)."""
    try:
        with transaction.atomic():
            project = project_get(actor, id_or_name)
            action_require(actor, "project.update", project.pk)
            if set(given) & set(PROJECT_LIMITS):
                action_require(actor, "project.limits")
            before = _settings(project)
            if "name" in given:
                project.name = name_check(given["name"])
            for column in ("description", *PROJECT_LIMITS):
                if column in given:
                    setattr(project, column, given[column])
            project.save()
            details = changes_of(before, _settings(project))
            audit(actor, "project.update", project.name, target_uid=project.pk, details=details)
    except IntegrityError as error:
        raise NameConflict("Another project has this name.") from error
    return project


def project_delete(actor: Actor, id_or_name: str | uuid.UUID) -> None:
    """Only an empty project that is not the default one."""
    with transaction.atomic():
        project = project_get(actor, id_or_name)
        action_require(actor, "project.delete")
        if project.is_default:
            raise InvalidState("The default project stays.", state="default")
        if project.instances.exists():
            raise InvalidState("The project still has instances; delete them first.", state="in_use")
        if project.resources.exists():
            raise InvalidState(
                "The project still has networks, volumes or other things on its nodes; delete them first.",
                state="in_use",
            )
        audit(actor, "project.delete", project.name, target_uid=project.pk)
        project.delete()


def members_list(actor: Actor, id_or_name: str | uuid.UUID) -> list[dict[str, Any]]:
    project = project_get(actor, id_or_name)
    rows = Membership.objects.filter(project=project).select_related("user").order_by("user__username")
    return [_member(row) for row in rows]


def member_set(actor: Actor, id_or_name: str | uuid.UUID, user: str, role: str) -> dict[str, Any]:
    """Add a member or change the role. ``user`` is an id or a user name."""
    project = project_get(actor, id_or_name)
    action_require(actor, "project.member", project.pk)
    account = _user(user)
    if role not in {word.value for word in Role}:
        raise InvalidInput.field("role", f"must be one of {', '.join(word.value for word in Role)}.")
    with transaction.atomic():
        before = Membership.objects.filter(project=project, user=account).values("role").first()
        row, _ = Membership.objects.update_or_create(project=project, user=account, defaults={"role": role})
        details = {
            "user": account.username,
            "role": role,
            **changes_of(before or {"role": None}, {"role": role}),
        }
        audit(actor, "project.member", project.name, target_uid=project.pk, details=details)
        rights_changed(account.pk)
    return _member(row)


def member_remove(actor: Actor, id_or_name: str | uuid.UUID, user: str) -> None:
    project = project_get(actor, id_or_name)
    action_require(actor, "project.member", project.pk)
    account = _user(user)
    with transaction.atomic():
        removed, _ = Membership.objects.filter(project=project, user=account).delete()
        if not removed:
            raise NotFound("The user is not a member of this project.")
        details = {"user": account.username}
        audit(actor, "project.member_removed", project.name, target_uid=project.pk, details=details)
        rights_changed(account.pk)


def _member(row: Membership) -> dict[str, Any]:
    return {"user": {"id": str(row.user_id), "username": row.user.username}, "role": row.role}


def _user(id_or_name: str) -> User:
    found = User.objects.filter(by_id_or_name(id_or_name, name_column="username")).first()
    if found is None:
        raise NotFound("There is no such user.")
    return found
