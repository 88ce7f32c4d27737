"""Add, change, remove and test registries. Administrators only."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from compute.actor import Actor
from compute.audit import audit, changes_of, stored
from compute.errors import InvalidInput, NameConflict
from compute.events import Fact, event_publish
from compute.models import Operation, Project
from compute.sealing import seal
from compute.selectors.access import action_require
from compute.services.instance_body import name_check
from compute.services.projects import project_get
from compute.services.resource_work import Work, work_submit
from dockerapp.models import Registry
from dockerapp.references import host_of_url
from dockerapp.selectors.registries import registry_get
from dockerapp.services.common import where

TEST = "registry.test"
_TOLD = ("name", "host", "username", "project__name")


def registry_create(actor: Actor, given: Mapping[str, Any]) -> Registry:
    """``name, url, username?, password?, project?``. Raises ``NameConflict``, ``InvalidInput``."""
    action_require(actor, "registry.create")
    row = Registry(created_by_id=actor.user_id)
    _apply(actor, row, given)
    return _saved(actor, row, "registry.create")


def registry_update(actor: Actor, id_or_name: str | uuid.UUID, given: Mapping[str, Any]) -> Registry:
    """Merge what is given. A password goes with its user name and host: changing either without a new
    password drops it, so it is never sent to another place than it was entered for."""
    action_require(actor, "registry.update")
    row = registry_get(actor, id_or_name)
    before = (row.host, row.username)
    _apply(actor, row, given)
    if "password" not in given and (row.host, row.username) != before:
        row.password_seal = ""  # nosec B105 # takes the password away
    return _saved(actor, row, "registry.update")


def registry_delete(actor: Actor, id_or_name: str | uuid.UUID) -> None:
    action_require(actor, "registry.delete")
    with transaction.atomic():
        row = registry_get(actor, id_or_name)
        audit(actor, "registry.delete", row.name, target_uid=row.pk)
        _tell(actor)
        row.delete()


def registry_test(actor: Actor, id_or_name: str | uuid.UUID, *, node: str = "") -> Operation:
    """Log in by way of the engine, as a pull would: its result is ``{"ok", "message"}``."""
    action_require(actor, "registry.test")
    row = registry_get(actor, id_or_name)
    at = where(actor, "registry.test", node=node, project=str(row.project_id) if row.project_id else None)
    return work_submit(actor, at, Work(TEST, row.name, {"registry": str(row.pk)}))


def _apply(actor: Actor, row: Registry, given: Mapping[str, Any]) -> None:
    if "name" in given:
        row.name = name_check(given["name"])
    if "url" in given:
        row.host = host_of_url(given["url"])
    if "username" in given:
        row.username = given["username"] or ""
    if "password" in given:
        row.password_seal = seal(given["password"]) if given["password"] else ""
    if "project" in given:
        row.project = _project(actor, given["project"])
    if ":" in row.username:
        raise InvalidInput.field("username", "may hold no colon.")
    if row.password_seal and not row.username:
        raise InvalidInput.field("username", "is needed with a password.")


def _project(actor: Actor, wanted: str | None) -> Project | None:
    return project_get(actor, wanted) if wanted else None


def _saved(actor: Actor, row: Registry, action: str) -> Registry:
    before = stored(row, *_TOLD)
    try:
        with transaction.atomic():
            row.save()
            details = {"host": row.host, **changes_of(before, stored(row, *_TOLD))}
            audit(actor, action, row.name, target_uid=row.pk, details=details)
            _tell(actor)
    except IntegrityError as error:
        raise NameConflict(f"There is already a registry “{row.name}”.", name=row.name) from error
    return row


def _tell(actor: Actor) -> None:
    """Screens look again. Everyone hears it, so it names none: a registry may belong to one project."""
    event_publish(Fact("registry.changed", "The registries were changed.", username=actor.username))
