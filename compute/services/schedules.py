"""Add, change and remove schedules. Whoever writes one is its owner: it runs with that account's rights."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from compute.actor import Actor
from compute.audit import audit, changes_of
from compute.errors import InvalidInput, InvalidState, NameConflict
from compute.events import Fact, event_publish
from compute.models import Project, Schedule
from compute.selectors.access import action_require
from compute.selectors.instances import InstanceFilter, instances_matching
from compute.selectors.nodes import backend_node
from compute.selectors.schedules import schedule_get
from compute.services.actions import InstanceAction, NodeAction, any_action_get
from compute.services.bulk import ITEMS_MAX, scope_kept
from compute.services.cron import cron_check, cron_following, cron_next, zone_check
from compute.services.cron_words import cron_words
from compute.services.projects import project_for
from compute.services.retention import keep_check
from compute.services.tokens import tokens_alive

PER_PROJECT_MAX = 200
PREVIEW = 5
_TAKE_OVER = "Whoever resumes it is its owner from then on."
_NAME = re.compile(r"[^\x00-\x1f]{1,63}")
_FILTER_FIELDS = frozenset({"backend", "state", "type", "node", "image", "q", "labels"})


def schedule_create(actor: Actor, given: Mapping[str, Any]) -> Schedule:
    """``given``: ``name``, ``project``, ``cron``, ``timezone``, ``action``, ``options``, ``target``,
    ``missed``, ``missed_within_s``, ``overlap``, ``keep``, ``is_enabled``. Raises ``InvalidInput``,
    ``NameConflict``, ``PermissionDenied`` also for an action that the actor may not do."""
    project = project_for(actor, given.get("project"))
    action_require(actor, "schedule.create", project.pk)
    row = Schedule(project=project)
    with transaction.atomic():
        if Schedule.objects.filter(project=project).count() >= PER_PROJECT_MAX:
            raise InvalidState(f"A project has at most {PER_PROJECT_MAX} schedules.", state="full")
        _apply(actor, row, given)
        _saved(actor, row, "schedule.create")
    return row


def schedule_update(actor: Actor, id_or_name: str | uuid.UUID, given: Mapping[str, Any]) -> Schedule:
    """Merge what ``schedule_create`` takes, but the project. Whoever changes it is the owner from then on:
    nobody gives an order in another one's name."""
    with transaction.atomic():
        row = schedule_get(actor, id_or_name)
        action_require(actor, "schedule.update", row.project_id)
        if "project" in given and project_for(actor, given["project"]).pk != row.project_id:
            raise InvalidInput.field("project", "cannot be changed; make a new schedule there.")
        before = _told(row)
        _apply(actor, row, given)
        _saved(actor, row, "schedule.update", changes_of(before, _told(row)))
    return row


def schedule_delete(actor: Actor, id_or_name: str | uuid.UUID) -> None:
    """What it made stays, and is kept from then on until somebody removes it."""
    with transaction.atomic():
        row = schedule_get(actor, id_or_name)
        action_require(actor, "schedule.delete", row.project_id)
        details = {"before": _told(row)}
        audit(
            actor,
            "schedule.delete",
            row.name,
            target_uid=row.pk,
            details=details,
            project=row.project_id,
        )
        _publish(actor.username, row, "deleted")
        Schedule.objects.filter(pk=row.pk).delete()


def schedule_pause(actor: Actor, id_or_name: str | uuid.UUID, *, paused: bool) -> Schedule:
    """Paused, nothing of it runs, and what was due meanwhile never will. Whoever resumes one that its owner
    or the owner's token can no longer run is its owner."""
    with transaction.atomic():
        row = schedule_get(actor, id_or_name)
        action_require(actor, "schedule.update", row.project_id)
        if not paused:
            action_require(actor, any_action_get(row.action).needs, row.project_id)
            row.next_at = cron_next(row.cron, row.timezone, timezone.now())
            if schedule_hindrance(row):
                _owned_by(actor, row)
        row.is_enabled, row.paused_reason = not paused, f"By {actor.username}." if paused else ""
        _saved(actor, row, "schedule.pause" if paused else "schedule.resume")
    return row


def schedule_preview(given: Mapping[str, Any]) -> dict[str, Any]:
    """``cron`` and ``timezone`` in words, and the next times."""
    zone = str(given.get("timezone") or "UTC")
    zone_check(zone)
    cron = cron_check(str(given.get("cron") or ""))
    times = cron_following(cron, zone, timezone.now(), PREVIEW)
    return {"cron": cron, "timezone": zone, "words": cron_words(cron), "next": times}


def schedule_hindrance(row: Schedule) -> str:
    """Why nothing can be done in its owner's name any more, and how it would be; empty when it can."""
    if row.owner is None or not row.owner.is_active:
        return f"Its owner's account is gone or was switched off. {_TAKE_OVER}"
    if row.scope is None or (row.token_uid and tokens_alive().filter(pk=row.token_uid).exists()):
        return ""
    return f"The token it was made with was revoked, has expired or rests. {_TAKE_OVER}"


def _owned_by(actor: Actor, row: Schedule) -> None:
    """It runs as this account from now on, and no further than what the actor came in with reaches."""
    row.owner_id, row.scope = actor.user_id, scope_kept(actor).get("scope")
    row.token_uid = actor.credential.token_id


def schedule_filter(row: Schedule) -> InstanceFilter:
    """Its filter, within its project."""
    return InstanceFilter(**{**row.target["filter"], "project": str(row.project_id)})


def _apply(actor: Actor, row: Schedule, given: Mapping[str, Any]) -> None:
    if "name" in given or not row.name:
        row.name = str(given.get("name") or "").strip()
        if not _NAME.fullmatch(row.name):
            raise InvalidInput.field("name", "must be 1 to 63 characters.")
    if "timezone" in given:
        row.timezone = zone_check(str(given["timezone"])).key
    if "cron" in given or not row.cron:
        row.cron = cron_check(str(given.get("cron") or ""))
    row.action = str(given.get("action", row.action))
    action = any_action_get(row.action)
    action_require(actor, action.needs, row.project_id)
    row.options = action.check(given.get("options", row.options) or {})
    row.target = _target(actor, row.project, action, given.get("target", row.target))
    for name in ("missed", "missed_within_s", "overlap", "is_enabled"):
        if name in given:
            setattr(row, name, given[name])
    if "keep" in given:
        keep_check(given["keep"] or {})
        row.keep = {name: count for name, count in (given["keep"] or {}).items() if count}
    if not keep_check(row.keep).is_everything and (isinstance(action, NodeAction) or action.kept is None):
        raise InvalidInput.field("keep", f"“{action.word}” makes nothing that could be kept.")
    row.paused_reason = "" if row.is_enabled else row.paused_reason or f"By {actor.username}."
    _owned_by(actor, row)
    row.next_at = cron_next(row.cron, row.timezone, timezone.now())


def _target(
    actor: Actor, project: Project, action: InstanceAction | NodeAction, given: Any
) -> dict[str, Any]:
    """Raises ``InvalidInput``: one of ``ids``, ``filter`` and, for what concerns a node, ``node``."""
    if not isinstance(given, Mapping) or len(given) != 1:
        raise InvalidInput.field("target", "give one of ids, filter and node.")
    (kind, value) = next(iter(given.items()))
    if isinstance(action, NodeAction):
        if kind != "node" or not isinstance(value, str):
            raise InvalidInput.field("target.node", f"“{action.word}” is done to a node: name it.")
        return {"node": backend_node(actor, action.backend, value).name}
    if kind == "ids":
        return {"ids": _ids(value)}
    if kind == "filter":
        return {"filter": _filter(actor, project, value)}
    raise InvalidInput.field("target", f"“{action.word}” is done to instances: give ids or a filter.")


def _ids(value: Any) -> list[str]:
    try:
        ids = list(dict.fromkeys(str(uuid.UUID(str(each))) for each in value))
    except (ValueError, TypeError):
        raise InvalidInput.field("target.ids", "must be a list of ids of instances.") from None
    if not 1 <= len(ids) <= ITEMS_MAX:
        raise InvalidInput.field("target.ids", f"must be 1 to {ITEMS_MAX} ids.")
    return ids


def _filter(actor: Actor, project: Project, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput.field("target.filter", "must be an object.")
    for name, text in value.items():
        if name not in _FILTER_FIELDS:
            known = ", ".join(sorted(_FILTER_FIELDS))
            raise InvalidInput.field(f"target.filter.{str(name)[:50]}", f"is not one of {known}.")
        is_good = isinstance(text, str) and len(text) <= 500
        if name == "labels":
            is_good = isinstance(text, Mapping) and all(isinstance(each, str) for each in text.values())
        if not is_good:
            raise InvalidInput.field(f"target.filter.{name}", "must be text; labels an object of texts.")
    found = {name: text for name, text in value.items() if text}
    # Looks whether the words of it are understood; what matches is asked again at each run.
    instances_matching(actor, InstanceFilter(**{**found, "project": str(project.pk)}), 1)
    return found


def _saved(actor: Actor, row: Schedule, action: str, details: Mapping[str, Any] | None = None) -> None:
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        raise NameConflict(
            f"There is already a schedule “{row.name}” in {row.project.name}.", name=row.name
        ) from error
    row.refresh_from_db()
    if details is None:
        details = {"after": _told(row)}
    audit(actor, action, row.name, target_uid=row.pk, details=details, project=row.project_id)
    _publish(actor.username, row, "changed")


def _publish(username: str, row: Schedule, word: str) -> None:
    message = f"The schedule {row.name} was {word}."
    details = {"schedule": str(row.pk), "name": row.name}
    event_publish(
        Fact(f"schedule.{word}", message, project_id=row.project_id, username=username, details=details)
    )


def _told(row: Schedule) -> dict[str, Any]:
    names = "name cron timezone action options target missed missed_within_s overlap keep is_enabled".split()
    return {name: getattr(row, name) for name in names}
