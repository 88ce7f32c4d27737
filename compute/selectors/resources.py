"""Every read of images, networks, volumes and the like: from the mirror, never from an engine."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, QuerySet

from compute.actor import Actor
from compute.errors import InvalidInput, NotFound
from compute.models import Resource
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name
from compute.selectors.page import Page, order_by, page_bounds, time_text

SORT_COLUMNS = {
    "name": "name",
    "created_at": "created_at",
    "size": "size_bytes",
    "node": "node__name",
    "project": "project__name",
}


@dataclass(frozen=True)
class ResourceFilter:
    """Empty means "any". ``q`` searches the name and what the engine tells; ``data`` holds wanted
    values of the kind's own shape, by key."""

    kind: str
    backend: str = ""
    node: str = ""
    project: str = ""
    q: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    sort: list[str] = field(default_factory=list)
    page: int = 1
    page_size: int = 50


def resources_page(actor: Actor, wanted: ResourceFilter) -> Page:
    """Rows with their node and project; what belongs to no project is seen by every member."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = resources_filtered(resources_visible(actor, wanted.kind), wanted)
    ordering = order_by(wanted.sort or ["name"], SORT_COLUMNS, "id")
    found = [resource_dict(row) for row in rows.order_by(*ordering)[start:end]]
    return Page(found, rows.count(), wanted.page, wanted.page_size)


def resources_visible(actor: Actor, kind: str) -> QuerySet[Resource]:
    """Rows of one kind that the actor may see, with node and project at hand."""
    rows = Resource.objects.filter(kind=kind).select_related("node", "project")
    if actor.is_admin:
        return rows
    hosts = Q(project=None, is_foreign=False)
    return rows.filter(hosts | Q(pk__in=visible(actor, Resource.objects.filter(kind=kind)).values("pk")))


def resource_get(
    actor: Actor,
    backend: str,
    kind: str,
    id_or_name: str | uuid.UUID,
    *,
    node: str = "",
    absent: type[NotFound] = NotFound,
) -> Resource:
    """By LibGo's id, the engine's id or the name, on one node or the only node of ``backend`` that has
    it. Raises ``absent``; ``InvalidInput`` when several nodes have one of that name."""
    rows = resources_visible(actor, kind).filter(node__backend=backend)
    if node:
        rows = rows.filter(by_id_or_name(node, id_column="node_id", name_column="node__name"))
    wanted = str(id_or_name)
    found = list(rows.filter(by_id_or_name(wanted) | Q(engine_id=wanted) | Q(name=wanted))[:2])
    if len(found) > 1:
        raise InvalidInput.field("node", f"several nodes have a {kind} “{wanted[:100]}”; say which.")
    if not found:
        raise absent(f"There is no {kind} “{wanted[:100]}”.", name=wanted[:100])
    return found[0]


def resource_dict(row: Resource) -> dict[str, Any]:
    """The public shape: what all kinds have, then the kind's own."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "engine_id": row.engine_id,
        "node": {"id": str(row.node_id), "name": row.node.name, "status": str(row.node.status)},
        "project": {"id": str(row.project_id), "name": row.project.name} if row.project else None,
        "size_bytes": row.size_bytes,
        "created_at": time_text(row.created_at),
        **row.data,
    }


def resources_filtered(rows: QuerySet[Resource], wanted: ResourceFilter) -> QuerySet[Resource]:
    if wanted.backend:
        rows = rows.filter(node__backend=wanted.backend)
    if wanted.node:
        rows = rows.filter(by_id_or_name(wanted.node, id_column="node_id", name_column="node__name"))
    if wanted.project:
        rows = rows.filter(by_id_or_name(wanted.project, id_column="project_id", name_column="project__name"))
    if wanted.q:
        rows = rows.filter(
            Q(name__icontains=wanted.q) | Q(engine_id__icontains=wanted.q) | Q(data__icontains=wanted.q)
        )
    for key, value in wanted.data.items():
        rows = rows.filter(**{f"data__{key}": value})
    return rows
