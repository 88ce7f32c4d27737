"""Backup targets: add, change, try, forget. Administrators only, because a target is a folder of LibGo's
host or an address that LibGo speaks to, an inner one too if they say so."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from compute.actor import Actor
from compute.audit import audit, changes_of, stored
from compute.backupstore.local import folder_below
from compute.errors import ComputeError, InvalidInput, InvalidState, NameConflict
from compute.events import Fact, event_publish
from compute.execution.backup_store import LOCAL, S3, local_roots, store_of
from compute.execution.backups import unfinished
from compute.models import BackupTarget
from compute.sealing import seal, unseal
from compute.selectors.access import action_require
from compute.selectors.backups import target_get
from compute.services.instance_body import name_check
from compute.services.projects import project_get

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9\[\]._:-]{1,200}(/[A-Za-z0-9._/-]*)?")
_REGION = re.compile(r"[a-z0-9-]{0,40}")
_PREFIX = re.compile(r"([A-Za-z0-9_.-]+/)*[A-Za-z0-9_.-]+|")
_OPTIONS = {LOCAL: ("folder",), S3: ("bucket", "endpoint", "region", "prefix")}
_SECRETS = {LOCAL: (), S3: ("access_key", "secret_key")}


def target_create(actor: Actor, given: Mapping[str, Any]) -> BackupTarget:
    """``name, kind, options, credentials?, projects?, is_enabled?``. Raises ``NameConflict``,
    ``InvalidInput``, ``PolicyDenied`` for a folder that is not open to backups."""
    action_require(actor, "backup_target.create")
    if given["kind"] not in _OPTIONS:
        raise InvalidInput.field("kind", f"must be one of {', '.join(_OPTIONS)}.")
    row = BackupTarget(kind=given["kind"])
    _apply(row, {"options": {}, **given})
    return _saved(actor, row, given, "backup_target.create")


def target_update(actor: Actor, id_or_name: str | uuid.UUID, given: Mapping[str, Any]) -> BackupTarget:
    """Merge what is given. Keys go with their server: another endpoint without them drops them. What
    backups lie in cannot be moved from under them: ``InvalidState``."""
    action_require(actor, "backup_target.update")
    row = target_get(actor, id_or_name)
    before = dict(row.options)
    if given.get("kind", row.kind) != row.kind:
        raise InvalidInput.field("kind", "cannot be changed; add another target.")
    _apply(row, given)
    moved = before != row.options
    if moved and row.backups.exists():
        raise InvalidState(
            "Backups lie in this target, so its place cannot be changed. Delete them, or add another target.",
            state="in_use",
        )
    if moved and before.get("endpoint") != row.options.get("endpoint") and not given.get("credentials"):
        row.secrets = ""
    return _saved(actor, row, given, "backup_target.update")


def target_delete(actor: Actor, id_or_name: str | uuid.UUID, *, force: bool = False) -> None:
    """Forget it. Raises ``InvalidState`` while backups are in it. ``force`` forgets those, too, for a target
    that will never answer again: what lies there is not touched, and LibGo restores it no more; while an
    operation is at work on one of them it is ``InvalidState`` all the same."""
    action_require(actor, "backup_target.delete")
    with transaction.atomic():
        row = target_get(actor, id_or_name)
        held = list(row.backups.select_for_update(of=("self",)).order_by("instance_name"))
        if held and not force:
            raise InvalidState(
                f"{row.name} holds {len(held)} backup{'' if len(held) == 1 else 's'}. Delete them first; "
                "nothing is removed by forgetting it. If it will never answer again, forget it by force.",
                state="in_use",
            )
        if any(unfinished(each) for each in held):
            raise InvalidState(
                f"An operation is at work on a backup in {row.name}. Cancel it, or wait for its end.",
                state="busy",
            )
        details = {
            "force": True,
            "backups": len(held),
            "of": sorted({each.instance_name for each in held})[:50],
        }
        audit(actor, "backup_target.delete", row.name, target_uid=row.pk, details=details if held else {})
        row.backups.all().delete()
        row.delete()
        _publish(actor, row, "removed")


def target_test(actor: Actor, id_or_name: str | uuid.UUID) -> dict[str, Any]:
    """Write a few bytes there, read them back, remove them: ``{"ok", "message"}``."""
    action_require(actor, "backup_target.test")
    row = target_get(actor, id_or_name)
    problem = ""
    try:
        _tried(row)
    except ComputeError as error:
        problem = error.message
    BackupTarget.objects.filter(pk=row.pk).update(error=problem[:1000], checked_at=timezone.now())
    _publish(actor, row, "tried")
    audit(actor, "backup_target.test", row.name, target_uid=row.pk, result="failed" if problem else "ok")
    return {"ok": not problem, "message": problem or "It was written to, read, and tidied."}


def _publish(actor: Actor, row: BackupTarget, word: str) -> None:
    """To administrators: where backups lie is theirs to know."""
    message = f"The backup target {row.name} was {word}."
    details = {"target": str(row.pk), "name": row.name}
    event_publish(Fact(f"backup_target.{word}", message, username=actor.username, details=details))


def _tried(row: BackupTarget) -> None:
    store, prefix = store_of(row), f"tests/{uuid.uuid4()}/"
    data = uuid.uuid4().bytes
    try:
        store.put(f"{prefix}try", [data])
        if b"".join(store.get(f"{prefix}try")) != data:
            raise InvalidState("What was written there came back as something else.", state="differs")
    finally:
        store.clear(prefix)


def _apply(row: BackupTarget, given: Mapping[str, Any]) -> None:
    if "name" in given:
        row.name = name_check(given["name"])
    if "is_enabled" in given:
        row.is_enabled = bool(given["is_enabled"])
    if "options" in given:
        row.options = _options(row.kind, given["options"] or {})
    if "credentials" in given:
        row.secrets = _credentials(row, given["credentials"] or {})


def _options(kind: str, given: Mapping[str, Any]) -> dict[str, str]:
    found = _texts("options", given, _OPTIONS[kind])
    if kind == LOCAL:
        folder = folder_below(found.get("folder", ""), local_roots())
        try:
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput.field("options.folder", f"cannot be made: {error.strerror}.") from error
        return {"folder": str(folder)}
    checks = {
        "bucket": (_BUCKET, "must be the name of a bucket."),
        "endpoint": (_ENDPOINT, "must be an address such as https://s3.example.com, or be left out."),
        "region": (_REGION, "must be a region such as eu-central-1."),
        "prefix": (_PREFIX, "must be words between slashes, such as libgo/site1."),
    }
    whole = {name: found.get(name, "").strip("/" if name == "prefix" else " ") for name in checks}
    for name, (pattern, complaint) in checks.items():
        optional = name == "endpoint" and not whole[name]
        if not optional and not pattern.fullmatch(whole[name]):
            raise InvalidInput.field(f"options.{name}", complaint)
    if ".." in whole["prefix"].split("/"):
        raise InvalidInput.field("options.prefix", checks["prefix"][1])
    return whole


def _credentials(row: BackupTarget, given: Mapping[str, Any]) -> str:
    known = _SECRETS[row.kind]
    found = _texts("credentials", given, known)
    merged = {**(unseal(row.secrets) or {}), **found}
    lacking = [name for name in known if not merged.get(name)]
    if found and lacking:
        raise InvalidInput.field(f"credentials.{lacking[0]}", "is required with the other.")
    return seal(merged) if found else ""


def _texts(where: str, given: Any, known: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise InvalidInput.field(where, "must be an object.")
    for key, value in given.items():
        if key not in known:
            accepted = ", ".join(known) or "nothing here"
            raise InvalidInput.field(f"{where}.{str(key)[:40]}", f"is not known; accepted: {accepted}.")
        if not isinstance(value, str) or len(value) > 500 or not value.isprintable():
            raise InvalidInput.field(f"{where}.{key}", "must be text of at most 500 characters.")
    return {key: value for key, value in given.items() if value}


def _told(row: BackupTarget) -> dict[str, Any]:
    """What the database has of it, without the keys."""
    names = row.projects.order_by("name").values_list("name", flat=True) if not row._state.adding else ()
    return {**stored(row, "name", "options", "is_enabled"), "projects": list(names)}


def _saved(actor: Actor, row: BackupTarget, given: Mapping[str, Any], action: str) -> BackupTarget:
    if row.kind == S3 and not row.secrets:
        raise InvalidInput.field("credentials", "are required: access_key and secret_key.")
    projects = [project_get(actor, str(wanted)) for wanted in given.get("projects") or []]
    before = _told(row)
    try:
        with transaction.atomic():
            row.save()
            if "projects" in given:
                row.projects.set(projects)
            details = {"fields": sorted(given), **changes_of(before, _told(row))}
            audit(actor, action, row.name, target_uid=row.pk, details=details)
            _publish(actor, row, "saved")
    except IntegrityError as error:
        raise NameConflict(f"There is already a backup target “{row.name}”.", name=row.name) from error
    return row
