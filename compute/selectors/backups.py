"""Every read of backups and of the targets they lie in."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from compute.actor import Actor
from compute.backends.registry import backend_class
from compute.errors import NotFound
from compute.models import Backup, BackupTarget, Instance
from compute.sealing import SealedOtherwise, unseal
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name, words_in
from compute.selectors.page import Page, one_of, order_by, page_bounds, time_text
from compute.states import BackupState

KEY_PROBLEM = (
    "It was sealed with another LIBGO_SECRET_KEY than this site has now, so it cannot be restored. Set that "
    "key again, or list it among the older ones, and verify it."
)
_SORT = {
    "created_at": "created_at",
    "instance": "instance_name",
    "size_bytes": "size_bytes",
    "state": "state",
    "target": "target__name",
}


@dataclass(frozen=True)
class BackupFilter:
    """Empty means "any". ``instance``, ``target`` and ``project`` are ids or names."""

    instance: str = ""
    target: str = ""
    project: str = ""
    state: str = ""
    q: str = ""
    sort: list[str] = field(default_factory=list)
    page: int = 1
    page_size: int = 50


def backups_page(actor: Actor, wanted: BackupFilter) -> Page:
    """Newest first unless asked otherwise."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = _filtered(backups_visible(actor), wanted)
    ordering = order_by(wanted.sort or ["-created_at"], _SORT, "id")
    items = [backup_dict(row) for row in rows.order_by(*ordering)[start:end]]
    return Page(items, rows.count(), wanted.page, wanted.page_size)


def backups_visible(actor: Actor) -> QuerySet[Backup]:
    return visible(actor, Backup.objects.select_related("target", "project", "node"))


def backup_get(actor: Actor, backup_id: str | uuid.UUID) -> Backup:
    """Raises ``NotFound``, also for one of a project that the actor is no member of."""
    try:
        found = backups_visible(actor).filter(pk=uuid.UUID(str(backup_id))).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound(f"There is no backup “{str(backup_id)[:100]}”.")
    return found


def backup_dict(row: Backup) -> dict[str, Any]:
    """The public shape; its configuration stays sealed."""
    kept = _kept(row)
    return {
        "id": str(row.pk),
        "state": row.state,
        "instance": str(row.instance_uid),
        "instance_name": row.instance_name,
        "type": row.type,
        "backend": row.backend,
        "image": row.image,
        "description": row.description,
        "target": {"id": str(row.target_id), "name": row.target.name},
        "project": {"id": str(row.project_id), "name": row.project.name} if row.project else None,
        "node": {"id": str(row.node_id), "name": row.node.name} if row.node else None,
        "size_bytes": row.size_bytes,
        "parts": row.parts,
        "user": row.username or None,
        "problem": row.problem or ("" if kept else KEY_PROBLEM),
        "left_out": (kept or {}).get("instance", {}).get("left_out", []),
        "created_at": time_text(row.created_at),
        "finished_at": time_text(row.finished_at),
        "verified_at": time_text(row.verified_at),
    }


def _kept(row: Backup) -> dict[str, Any] | None:
    """What it says of its instance, ``{"definition", "instance"}``, empty while it is made; None when this
    site has no key for it."""
    try:
        return unseal(row.definition) or {"instance": {}}
    except SealedOtherwise:
        return None


def backup_omits(row: Instance) -> list[str]:
    """What of it no backup holds."""
    return backend_class(row.backend).backup_omits(row.config, row.storage)


def targets_visible(actor: Actor) -> QuerySet[BackupTarget]:
    """Administrators: all; others: those of the whole site and of their projects."""
    rows = BackupTarget.objects.prefetch_related("projects")
    if actor.is_admin:
        return rows
    own = visible(actor, BackupTarget.objects.filter(projects__isnull=False), "projects").values("pk")
    return rows.filter(Q(pk__in=own) | ~Q(pk__in=BackupTarget.objects.filter(projects__isnull=False)))


def targets_list(actor: Actor) -> list[dict[str, Any]]:
    """By name, with how much lies in each of what the actor may see."""
    kept = (
        backups_visible(actor).order_by().values("target").annotate(count=Count("pk"), size=Sum("size_bytes"))
    )
    held = {item["target"]: item for item in kept}
    return [target_dict(actor, row, held.get(row.pk)) for row in targets_visible(actor)]


def target_get(actor: Actor, id_or_name: str | uuid.UUID) -> BackupTarget:
    """Raises ``NotFound``."""
    found = targets_visible(actor).filter(by_id_or_name(id_or_name)).first()
    if found is None:
        raise NotFound(f"There is no backup target “{str(id_or_name)[:100]}”.")
    return found


def targets_for(actor: Actor, project_id: uuid.UUID) -> list[BackupTarget]:
    """Those that take backups of this project, by name."""
    rows = targets_visible(actor).filter(is_enabled=True)
    return [row for row in rows if target_takes(row, project_id)]


def target_takes(target: BackupTarget, project_id: uuid.UUID) -> bool:
    """Whether it is for this project: by name, or because it is for all."""
    projects = {project.pk for project in target.projects.all()}
    return not projects or project_id in projects


def target_dict(actor: Actor, row: BackupTarget, held: dict[str, Any] | None = None) -> dict[str, Any]:
    """The public shape. Where it lies is for administrators; its keys are for nobody."""
    projects = [{"id": str(project.pk), "name": project.name} for project in row.projects.all()]
    seen = {project["id"] for project in projects}
    if not actor.is_admin:
        own = (
            set(map(str, visible(actor, row.projects.all(), "pk").values_list("pk", flat=True)))
            if seen
            else seen
        )
        projects = [project for project in projects if project["id"] in own]
    return {
        "id": str(row.pk),
        "name": row.name,
        "kind": row.kind,
        "options": dict(row.options) if actor.is_admin else {},
        "has_credentials": bool(row.secrets),
        "projects": projects,
        "is_enabled": row.is_enabled,
        "backups": int((held or {}).get("count") or 0),
        "size_bytes": int((held or {}).get("size") or 0),
        "error": row.error if actor.is_admin else "",
        "checked_at": time_text(row.checked_at),
        "created_at": time_text(row.created_at),
    }


def _filtered(rows: QuerySet[Backup], wanted: BackupFilter) -> QuerySet[Backup]:
    if wanted.state:
        rows = rows.filter(state=one_of("state", wanted.state, BackupState))
    if wanted.q:
        rows = rows.filter(words_in(wanted.q, "instance_name", "target__name", "description", "username"))
    if wanted.instance:
        rows = rows.filter(
            by_id_or_name(wanted.instance, id_column="instance_uid", name_column="instance_name")
        )
    if wanted.target:
        rows = rows.filter(by_id_or_name(wanted.target, id_column="target_id", name_column="target__name"))
    if wanted.project:
        rows = rows.filter(by_id_or_name(wanted.project, id_column="project_id", name_column="project__name"))
    return rows
