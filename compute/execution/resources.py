"""Make the rows of images, networks and volumes equal to what an engine lists.

The same rule as for instances: a complete list is the truth, events only say when to list again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction

from compute.backends.types import ResourceInfo
from compute.events import Fact, events_publish
from compute.models import Node, Project, Resource


def resources_observe_complete(node: Node, kind: str, infos: Sequence[ResourceInfo]) -> None:
    """Write a complete list of one kind; what it does not hold is gone. Tells one fact per kind and
    change, ``<kind>.changed``, however many changed."""
    with transaction.atomic():
        rows = {row.engine_id: row for row in Resource.objects.filter(node=node, kind=kind)}
        projects = _projects(infos)
        seen: set[str] = set()
        created: list[Resource] = []
        changed = 0
        for info in infos:
            if info.engine_id in seen:
                continue
            seen.add(info.engine_id)
            columns = _columns(info, projects)
            row = rows.get(info.engine_id)
            if row is None:
                created.append(Resource(node=node, kind=kind, engine_id=info.engine_id[:255], **columns))
            elif _differs(row, columns):
                row.save()
                changed += 1
        Resource.objects.bulk_create(created)
        gone = [row.pk for engine_id, row in rows.items() if engine_id not in seen]
        Resource.objects.filter(pk__in=gone).delete()
        if created or changed or gone:
            events_publish([_fact(node, kind, len(created), changed, len(gone))])


def _columns(info: ResourceInfo, projects: dict[str, Project]) -> dict[str, Any]:
    return {
        "name": info.name[:255],
        "project": projects.get(info.project_id),
        "size_bytes": info.size_bytes,
        "data": dict(info.data),
        "created_at": info.created_at,
    }


def _differs(row: Resource, columns: dict[str, Any]) -> bool:
    """Whether anything is new; written on the row. A project that was set by hand stays when the
    engine has no mark."""
    if columns["project"] is None:
        columns = {key: value for key, value in columns.items() if key != "project"}
    found = {key: value for key, value in columns.items() if getattr(row, key) != value}
    for key, value in found.items():
        setattr(row, key, value)
    return bool(found)


def _projects(infos: Iterable[ResourceInfo]) -> dict[str, Project]:
    wanted = {text for info in infos if (text := info.project_id) and _is_uuid(text)}
    return {str(row.pk): row for row in Project.objects.filter(pk__in=wanted)} if wanted else {}


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _fact(node: Node, kind: str, created: int, changed: int, gone: int) -> Fact:
    """Counts only: the fact goes to everyone, and names may belong to one project."""
    counts = {"new": created, "changed": changed, "gone": gone}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return Fact(f"{kind}.changed", f"{kind.capitalize()}s on {node.name}: {told}.", node=node, details=counts)
