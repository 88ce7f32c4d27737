"""Every read of events."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from compute.actor import Actor
from compute.events import event_data
from compute.models import Event
from compute.selectors.access import project_ids_visible
from compute.selectors.identity import words_in
from compute.selectors.page import Page, order_by, page_bounds

SORT_COLUMNS = {"seq": "seq", "timestamp": "timestamp", "type": "type"}


@dataclass(frozen=True)
class EventFilter:
    """``after``: only what has a greater ``seq``; ``type``: ``instance`` takes all ``instance.*``;
    ``q``: words that all stand in type, message, or the name of the instance or user."""

    after: int | None = None
    type: str = ""
    instance: uuid.UUID | None = None
    q: str = ""
    sort: Sequence[str] = ()
    page: int = 1
    page_size: int = 100


def events_found(actor: Actor, wanted: EventFilter) -> Page:
    """Facts the actor may see, oldest first unless sorted otherwise."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = _visible(actor, wanted.after, wanted.type, wanted.instance)
    rows = rows.filter(words_in(wanted.q, "type", "message", "instance_name", "username"))
    ordering = order_by(list(wanted.sort), SORT_COLUMNS, "seq")
    items = [event_data(row) for row in rows.order_by(*ordering)[start:end]]
    return Page(items, rows.count(), wanted.page, wanted.page_size)


def events_page(
    actor: Actor,
    *,
    after: int | None = None,
    type: str = "",
    instance: uuid.UUID | None = None,
    limit: int = 100,
    newest_first: bool = False,
    before: int | None = None,
) -> list[dict[str, Any]]:
    """The same for pages, which count nothing; ``before``: only what has a smaller ``seq``."""
    rows = _visible(actor, after, type, instance)
    if before is not None:
        rows = rows.filter(seq__lt=before)
    rows = rows.order_by("-seq" if newest_first else "seq")
    return [event_data(row) for row in rows[:limit]]


def _visible(actor: Actor, after: int | None, type: str, instance: uuid.UUID | None) -> QuerySet[Event]:
    """Facts without a project are seen by every member."""
    rows = Event.objects.all()
    projects = project_ids_visible(actor)
    if projects is not None:
        rows = rows.filter(Q(project_uid__in=projects) | Q(project_uid=None))
    if after is not None:
        rows = rows.filter(seq__gt=after)
    if type:
        rows = rows.filter(Q(type=type) | Q(type__startswith=f"{type}."))
    if instance is not None:
        rows = rows.filter(instance_uid=instance)
    return rows


def events_newest() -> int:
    """The ``seq`` of the newest fact; 0 before the first."""
    return Event.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
