"""Every read of the audit."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime

from compute.actor import Actor
from compute.errors import InvalidInput, PermissionDenied
from compute.models import AuditEvent, AuditSeal, Membership, Project
from compute.selectors.access import action_allowed
from compute.selectors.identity import by_id_or_name
from compute.selectors.page import Page, order_by, page_bounds, time_text
from compute.states import Outcome, Role

_SORT = {"timestamp": "timestamp", "action": "action", "user": "username", "target": "target"}
_PIECE = 500
# What a spreadsheet would take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
CSV_COLUMNS = (
    "id timestamp user method action target target_id project result code remote_address user_agent "
    "request_id details"
).split()


@dataclass(frozen=True)
class AuditFilter:
    """Empty means "any". ``user`` a name or id, ``action`` also a noun (``instance`` takes all
    ``instance.*``), ``target`` a name or id, ``result`` ok, refused, failed or a code, ``start`` and
    ``end`` times by RFC 3339, ``q`` any word of the row."""

    user: str = ""
    action: str = ""
    target: str = ""
    project: str = ""
    result: str = ""
    start: str = ""
    end: str = ""
    q: str = ""
    sort: list[str] = field(default_factory=list)
    page: int = 1
    page_size: int = 50


def audit_page(actor: Actor, wanted: AuditFilter) -> Page:
    """Newest first unless asked otherwise. Raises ``PermissionDenied`` for who administers nothing."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = _filtered(audit_visible(actor), wanted)
    ordering = order_by(wanted.sort or ["-timestamp"], _SORT, "-id")
    found = list(rows.order_by(*ordering)[start:end])
    seals = dict(AuditSeal.objects.filter(audit_id__in=[r.pk for r in found]).values_list("audit_id", "seq"))
    items = [{**audit_dict(row), "seq": seals.get(row.pk)} for row in found]
    return Page(items, rows.count(), wanted.page, wanted.page_size)


def audit_pieces(actor: Actor, wanted: AuditFilter, kind: str) -> Iterator[bytes]:
    """All rows of the filter, oldest first, as ``csv`` or ``jsonl``, in pieces of bounded size; what is
    written meanwhile is left out."""
    rows = _filtered(audit_visible(actor), wanted).order_by("id")
    last, until = 0, AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    if kind == "csv":
        yield _csv([dict(zip(CSV_COLUMNS, CSV_COLUMNS, strict=True))])
    while piece := list(rows.filter(id__gt=last, id__lte=until)[:_PIECE]):
        last = piece[-1].pk
        shown = [audit_dict(row) for row in piece]
        yield _csv(shown) if kind == "csv" else b"".join(orjson.dumps(row) + b"\n" for row in shown)


def audit_require(actor: Actor) -> None:
    """Raises ``PermissionDenied`` unless the actor administers the site or some project."""
    if not actor.is_admin and not _administered(actor):
        raise PermissionDenied(
            "The audit is read by administrators: the site's all of it, a project's their project's.",
            permission="admin",
            action="audit.read",
        )


def audit_visible(actor: Actor) -> QuerySet[AuditEvent]:
    """A site's administrator sees everything, a project's what happened in it."""
    audit_require(actor)
    if actor.is_admin:
        return AuditEvent.objects.all()
    return AuditEvent.objects.filter(project_uid__in=_administered(actor))


def audit_dict(row: AuditEvent) -> dict[str, Any]:
    """The public shape."""
    return {
        "id": row.pk,
        "timestamp": time_text(row.timestamp),
        "user": row.username or None,
        "user_id": None if row.user_uid is None else str(row.user_uid),
        "method": row.method,
        "action": row.action,
        "target": row.target,
        "target_id": None if row.target_uid is None else str(row.target_uid),
        "project": None if row.project_uid is None else str(row.project_uid),
        "result": row.outcome,
        "code": row.result,
        "remote_address": row.remote_address,
        "user_agent": row.user_agent,
        "request_id": row.request_id,
        "details": row.details,
    }


def _administered(actor: Actor) -> list[uuid.UUID]:
    """Projects of which the actor is an administrator, as far as a token reaches."""
    if actor.is_admin_account:
        found = Project.objects.values_list("pk", flat=True)
    else:
        rows = Membership.objects.filter(user_id=actor.user_id, user__is_active=True, role=Role.ADMIN.value)
        found = rows.values_list("project_id", flat=True)
    return [each for each in found if action_allowed(actor, "audit.read", each)]


def _filtered(rows: QuerySet[AuditEvent], wanted: AuditFilter) -> QuerySet[AuditEvent]:
    if wanted.user:
        rows = rows.filter(_named("username", "user_uid", wanted.user))
    if wanted.action:
        rows = rows.filter(Q(action=wanted.action) | Q(action__startswith=f"{wanted.action}."))
    if wanted.target:
        rows = rows.filter(_named("target", "target_uid", wanted.target))
    if wanted.project:
        project = Project.objects.filter(by_id_or_name(wanted.project)).values_list("pk", flat=True).first()
        rows = rows.filter(project_uid=project or _uuid(wanted.project) or uuid.UUID(int=0))
    if wanted.result:
        is_outcome = wanted.result in {word.value for word in Outcome}
        rows = rows.filter(**{"outcome" if is_outcome else "result": wanted.result})
    if wanted.start:
        rows = rows.filter(timestamp__gte=_time("from", wanted.start))
    if wanted.end:
        rows = rows.filter(timestamp__lte=_time("to", wanted.end))
    for word in wanted.q.split()[:8]:
        rows = rows.filter(
            Q(username__icontains=word)
            | Q(action__icontains=word)
            | Q(target__icontains=word)
            | Q(remote_address__icontains=word)
            | Q(request_id=word)
        )
    return rows


def _named(name: str, uid: str, wanted: str) -> Q:
    known = _uuid(wanted)
    return Q(**{name: wanted}) if known is None else Q(**{name: wanted}) | Q(**{uid: known})


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _time(name: str, text: str) -> datetime:
    try:
        found = parse_datetime(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidInput.field(name, "must be a time with its zone, such as 2026-11-29T12:00:00Z.")
    return found


def _csv(rows: list[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for row in rows:
        writer.writerow([_cell(row[name]) for name in CSV_COLUMNS])
    return out.getvalue().encode()


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        value = orjson.dumps(value).decode() if value else ""
    text = "" if value is None else str(value)
    # CWE-1236: a quote in front makes a text of what a spreadsheet would calculate.
    return f"'{text}" if text.startswith(_FORMULA) else text
