"""Notes of the instances that a node no longer has.

They keep looks which began before an instance went from bringing it back, and what LibGo alone knows of one
that vanished without LibGo's doing (an engine started on another folder of data, a machine that was undefined
by hand), so that it is what it was when the same shows up again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from compute.backends.types import InstanceInfo
from compute.execution.looks import clock_bound
from compute.models import Instance, InstanceGone, Node, Project
from compute.rows import rows_delete, rows_insert

# Longer than any look takes from asking the engine to writing what it said.
_LOOKS_END = timedelta(minutes=10)
# Time enough to notice that a host runs on the wrong disk, and to put that right.
_KEPT_FOR = timedelta(days=30)
# Ids named in one query; of more all notes of the node are read.
_NAMED = 200


def note_gone(node: Node, rows: Iterable[Instance], *, vanished: bool = False) -> None:
    """``vanished``: nobody asked LibGo for it. What is known of them is kept for thirty days."""
    now = timezone.now()
    old = {"node": node.pk, "gone_at__lt": now - _LOOKS_END, "kept__isnull": True}
    rows_delete(InstanceGone, old)
    rows_delete(InstanceGone, {"node": node.pk, "gone_at__lt": now - _KEPT_FOR})
    notes = [
        InstanceGone(
            node=node,
            engine_id=row.engine_id,
            instance_uid=row.pk,
            gone_at=now,
            kept=_known_of(row) if vanished else None,
        )
        for row in rows
    ]
    rows_insert(InstanceGone, notes)


def gone_since(node: Node, unknown: Sequence[InstanceInfo]) -> Callable[[InstanceInfo], bool]:
    """Tells of each that has no row whether it was removed after this look at it began."""
    began = min(info.observed_at for info in unknown)
    gone: dict[str, datetime] = {}
    notes = InstanceGone.objects.filter(node=node, gone_at__range=(began, clock_bound())).order_by("gone_at")
    for engine_id, uid, at in notes.values_list("engine_id", "instance_uid", "gone_at"):
        # The mark of one that has an engine's id may have been inherited by another.
        gone[engine_id or str(uid)] = at

    def is_gone(info: InstanceInfo) -> bool:
        times = [gone[key] for key in (info.engine_id, info.instance_id) if key in gone]
        return any(at >= info.observed_at for at in times)

    return is_gone


def vanished(node: Node, unknown: Sequence[InstanceInfo]) -> dict[str, dict[str, Any]]:
    """By engine id, the columns of those of these that had vanished and whose project is still there, the id
    too. Engines never give an id to another thing, so the same id on the same node is the same. Most of the
    time there are none, and it costs one query."""
    notes = InstanceGone.objects.filter(node=node, kept__isnull=False).order_by("gone_at")
    if len(unknown) <= _NAMED:
        notes = notes.filter(engine_id__in=[info.engine_id for info in unknown])
    kept = {note.engine_id: {"pk": note.instance_uid, **note.kept} for note in notes}
    if not kept:
        return {}
    projects = Project.objects.in_bulk({columns["project"] for columns in kept.values()})
    makers = get_user_model().objects.in_bulk({columns["created_by"] for columns in kept.values()} - {None})
    for columns in kept.values():
        columns["project"] = projects.get(uuid.UUID(columns["project"]))
        columns["created_by"] = makers.get(columns["created_by"] and uuid.UUID(columns["created_by"]))
        columns["adopted_at"] = parse_datetime(columns["adopted_at"] or "")
        columns["adoption_due"] = not columns["managed"]
    there = set(
        Instance.objects.filter(pk__in=[each["pk"] for each in kept.values()]).values_list("pk", flat=True)
    )
    return {key: each for key, each in kept.items() if each["project"] and each["pk"] not in there}


def notes_settle(node: Node, engine_ids: Collection[str]) -> None:
    """These are back."""
    if not engine_ids:
        return
    InstanceGone.objects.filter(node=node, engine_id__in=engine_ids, kept__isnull=False).delete()


def _known_of(row: Instance) -> dict[str, Any] | None:
    """None for a stranger on which nobody wrote anything: hosts of short-lived containers have thousands."""
    if not row.engine_id or not (row.managed or row.labels or row.annotations):
        return None
    return {
        "project": str(row.project_id),
        "created_by": row.created_by_id and str(row.created_by_id),
        "adopted_at": row.adopted_at and row.adopted_at.isoformat(),
        "managed": row.managed,
        "labels": row.labels,
        "annotations": row.annotations,
    }
