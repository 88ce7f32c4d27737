"""Every read of events."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Q

from compute.actor import Actor
from compute.events import event_data
from compute.models import Event
from compute.selectors.access import project_ids_visible

LIMIT_MAX = 500


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
    """Facts the actor may see: after ``after``, of one ``type`` (``instance`` takes all
    ``instance.*``), of one instance. Facts without a project are seen by every member."""
    rows = Event.objects.all()
    projects = project_ids_visible(actor)
    if projects is not None:
        rows = rows.filter(Q(project_uid__in=projects) | Q(project_uid=None))
    if after is not None:
        rows = rows.filter(seq__gt=after)
    if before is not None:
        rows = rows.filter(seq__lt=before)
    if type:
        rows = rows.filter(Q(type=type) | Q(type__startswith=f"{type}."))
    if instance is not None:
        rows = rows.filter(instance_uid=instance)
    rows = rows.order_by("-seq" if newest_first else "seq")
    return [event_data(row) for row in rows[: min(limit, LIMIT_MAX)]]


def events_newest() -> int:
    """The ``seq`` of the newest fact; 0 before the first."""
    return Event.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
