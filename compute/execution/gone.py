"""Notes of the instances that a node no longer has.

They keep looks which began before an instance went from bringing it back, and what LibGo alone knows of one
that vanished without LibGo's doing (an engine started on another folder of data, a machine that was undefined
by hand), so that it is what it was when the same shows up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from compute.backends.types import InstanceInfo
from compute.models import Instance, InstanceGone, Node, Project

# Longer than any look takes from asking the engine to writing what it said.
_LOOKS_END = timedelta(minutes=10)
# Time enough to notice that a host runs on the wrong disk, and to put that right.
_KEPT_FOR = timedelta(days=30)
# Ids named in one query; of more all notes of the node are read.
_NAMED = 200


def note_gone(node: Node, rows: Iterable[Instance], *, vanished: bool = False) -> None:
    """``vanished``: nobody asked LibGo for it. What is known of them is kept for thirty days."""
    now = timezone.now()
    notes = InstanceGone.objects.filter(node=node)
    notes.filter(gone_at__lt=now - _LOOKS_END, kept__isnull=True).delete()
    notes.filter(gone_at__lt=now - _KEPT_FOR).delete()
    InstanceGone.objects.bulk_create(
        InstanceGone(
            node=node,
            engine_id=row.engine_id,
            instance_uid=row.pk,
            gone_at=now,
            kept=_known_of(row) if vanished else None,
        )
        for row in rows
    )


def gone_since(node: Node, unknown: Sequence[InstanceInfo]) -> Callable[[InstanceInfo], bool]:
    """Tells of each that has no row whether it was removed after this look at it began."""
    began = min(info.observed_at for info in unknown)
    gone: dict[str, datetime] = {}
    notes = InstanceGone.objects.filter(node=node, gone_at__gte=began).order_by("gone_at")
    for engine_id, uid, at in notes.values_list("engine_id", "instance_uid", "gone_at"):
        # The mark of one that has an engine's id may have been inherited by another.
        gone[engine_id or str(uid)] = at

    def is_gone(info: InstanceInfo) -> bool:
        times = [gone[key] for key in (info.engine_id, info.instance_id) if key in gone]
        return any(at >= info.observed_at for at in times)

    return is_gone


def came_back(node: Node, row: Instance) -> bool:
    """Give a new row of one that had vanished what was known of it, its id too, if its project is still
    there. Engines never give an id to another thing, so the same id on the same node is the same."""
    notes = InstanceGone.objects.filter(node=node, engine_id=row.engine_id, kept__isnull=False)
    note = notes.order_by("-gone_at").first()
    if note is None or Instance.objects.filter(pk=note.instance_uid).exists():
        return False
    known = dict(note.kept or {})
    project = Project.objects.filter(pk=known.pop("project")).first()
    if project is None:
        return False
    maker = known.pop("created_by")
    row.pk, row.project = note.instance_uid, project
    row.created_by = get_user_model().objects.filter(pk=maker).first() if maker else None
    row.adopted_at = parse_datetime(known.pop("adopted_at") or "")
    for column, value in known.items():
        setattr(row, column, value)
    row.adoption_due = not row.managed
    notes.delete()
    return True


def vanished_ids(node: Node, unknown: Sequence[InstanceInfo]) -> set[str]:
    """Which of these a note is kept of, by engine id: most of the time none, and it costs one query."""
    notes = InstanceGone.objects.filter(node=node, kept__isnull=False)
    if len(unknown) <= _NAMED:
        notes = notes.filter(engine_id__in=[info.engine_id for info in unknown])
    return set(notes.values_list("engine_id", flat=True))


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
