"""Every read of schedules and their runs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from compute.actor import Actor
from compute.errors import NotFound
from compute.models import Schedule, ScheduleRun
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name, words_in
from compute.selectors.page import Page, order_by, page_bounds, time_text
from compute.states import ACTIVE_OPERATION_STATES, RunState

SORT_COLUMNS = {"name": "name", "created_at": "created_at", "next_at": "next_at", "action": "action"}


@dataclass(frozen=True)
class ScheduleFilter:
    """Empty means "any"; ``q`` searches the name."""

    q: str = ""
    project: str = ""
    action: str = ""
    sort: list[str] = field(default_factory=list)
    page: int = 1
    page_size: int = 50


def schedules_page(actor: Actor, wanted: ScheduleFilter) -> Page:
    """By name unless asked otherwise; three queries, however many there are."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = _rows(actor)
    if wanted.q:
        rows = rows.filter(words_in(wanted.q, "name"))
    if wanted.action:
        rows = rows.filter(action=wanted.action)
    if wanted.project:
        rows = rows.filter(by_id_or_name(wanted.project, id_column="project_id", name_column="project__name"))
    ordering = order_by(wanted.sort or ["name"], SORT_COLUMNS, "id")
    found = list(rows.order_by(*ordering)[start:end])
    runs = ScheduleRun.objects.select_related("operation").in_bulk([row.last_run for row in found])
    items = [schedule_dict(row, runs.get(row.last_run)) for row in found]
    return Page(items, rows.count(), wanted.page, wanted.page_size)


def schedule_get(actor: Actor, id_or_name: str | uuid.UUID) -> Schedule:
    """By id, or a name that is unique among what the actor sees. Raises ``NotFound``."""
    found = list(_rows(actor).filter(by_id_or_name(id_or_name))[:2])
    if len(found) != 1:
        raise NotFound(f"There is no schedule “{str(id_or_name)[:100]}”.")
    return found[0]


def schedule_shown(row: Schedule) -> dict[str, Any]:
    """The public shape of one, with its last run."""
    last = ScheduleRun.objects.filter(schedule=row).select_related("operation").first()
    return schedule_dict(row, last)


def schedule_dict(row: Schedule, last: ScheduleRun | None) -> dict[str, Any]:
    """The public shape."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "project": {"id": str(row.project_id), "name": row.project.name},
        "owner": row.owner.get_username() if row.owner else None,
        "cron": row.cron,
        "timezone": row.timezone,
        "action": row.action,
        "options": row.options,
        "target": row.target,
        "missed": row.missed,
        "missed_within_s": row.missed_within_s,
        "overlap": row.overlap,
        "keep": row.keep,
        "keep_problem": row.keep_problem or None,
        "is_enabled": row.is_enabled,
        "paused_reason": row.paused_reason or None,
        "next_at": time_text(row.next_at) if row.is_enabled else None,
        "last_run": None if last is None else run_dict(last),
        "created_at": time_text(row.created_at),
        "updated_at": time_text(row.updated_at),
    }


def runs_page(actor: Actor, schedule: Schedule, page: int = 1, page_size: int = 50) -> Page:
    """Newest first. What an operation was stays told after the operation itself was dropped."""
    start, end = page_bounds(page, page_size)
    rows = ScheduleRun.objects.filter(schedule=schedule).select_related("operation")
    return Page([run_dict(row) for row in rows[start:end]], rows.count(), page, page_size)


def run_dict(row: ScheduleRun) -> dict[str, Any]:
    """``state``: skipped, refused, or that of its operation; ``started`` when that was dropped since."""
    operation = row.operation
    return {
        "id": row.pk,
        "planned_at": time_text(row.planned_at),
        "started_at": time_text(row.created_at),
        "is_manual": row.is_manual,
        "state": operation.state if operation else row.state,
        "reason": (operation.error_message if operation else row.reason) or None,
        "operation": None if operation is None else str(operation.pk),
        "result": operation.result if operation else {},
    }


def run_is_active(schedule: Schedule) -> bool:
    """Whether its last run that began is still under way."""
    return ScheduleRun.objects.filter(
        schedule=schedule,
        state=RunState.STARTED.value,
        operation__state__in=sorted(ACTIVE_OPERATION_STATES),
    ).exists()


def _rows(actor: Actor) -> QuerySet[Any]:
    newest = (
        ScheduleRun.objects.filter(schedule=OuterRef("pk")).order_by("-planned_at", "-id").values("pk")[:1]
    )
    rows = Schedule.objects.select_related("project", "owner").annotate(last_run=Subquery(newest))
    return visible(actor, rows)
