"""Images as the mirror has them, with who uses them; and what only the engine tells of one."""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import Case, Count, IntegerField, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from compute.actor import Actor
from compute.errors import ImageNotFound, InvalidInput, NodeNotFound
from compute.models import Instance, Node, Resource
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name
from compute.selectors.masking import mapping_masked
from compute.selectors.page import Page, order_by, page_bounds
from compute.selectors.resources import (
    SORT_COLUMNS,
    ResourceFilter,
    resource_dict,
    resources_filtered,
    resources_visible,
)
from dockerapp.references import reference_parse
from dockerapp.selectors.nodes import BACKEND, docker_node

KIND = "image"
_SORT = {**SORT_COLUMNS, "used_by": "use_count"}
_SHORT_ID = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")
_NAMES_MAX = 100
_UNNAMED = Q(data__tags=[])
_IS_UNNAMED = Case(When(_UNNAMED, then=1), default=0, output_field=IntegerField())


def images_page(
    actor: Actor, wanted: ResourceFilter, *, dangling: bool | None = None, in_use: bool | None = None
) -> Page:
    """``dangling``: without a name. ``in_use``: by a container, running or not. None: either."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    # Other backends have images too, of another shape.
    visible = resources_visible(actor, KIND).filter(node__backend=BACKEND)
    rows = _counted(resources_filtered(visible, wanted))
    if dangling is not None:
        rows = rows.filter(_UNNAMED if dangling else ~_UNNAMED)
    if in_use is not None:
        rows = rows.filter(use_count__gt=0) if in_use else rows.filter(use_count=0)
    ordering = order_by(wanted.sort or ["name"], _SORT, "id")
    if not wanted.sort:
        # What has no name comes after what people look for.
        rows, ordering = rows.annotate(is_unnamed=_IS_UNNAMED), ["is_unnamed", *ordering]
    found = list(rows.order_by(*ordering)[start:end])
    return Page(_shown(actor, found), rows.count(), wanted.page, wanted.page_size)


def image_dict(actor: Actor, row: Resource) -> dict[str, Any]:
    """The public shape of one, as in a list."""
    return _shown(actor, [_counted(Resource.objects.select_related("node", "project")).get(pk=row.pk)])[0]


def image_get(actor: Actor, wanted: str | uuid.UUID, node: str = "") -> Resource:
    """By LibGo's id, the engine's id or 12 and more characters of it, a name (without a tag:
    ``latest``) or a digest. On one node; without, on the only one that has it, or the default one.

    Raises ``ImageNotFound``; ``InvalidInput`` when it stays open which one is meant.
    """
    wanted, rows = str(wanted), resources_visible(actor, KIND).filter(node__backend=BACKEND)
    if node:
        rows = rows.filter(node=docker_node(actor, node))
    found = _by_id(rows, wanted) or _by_name(rows, wanted)
    if not found:
        raise ImageNotFound(f"There is no image “{wanted[:100]}”.", image=wanted[:100])
    if len(found) > 1:
        found = [row for row in found if row.node_id == _default_node(actor)] or found
    if len(found) > 1:
        raise InvalidInput.field("node", f"several images are meant by “{wanted[:100]}”; give node and id.")
    return found[0]


def image_on(node: Node, reference: str) -> Resource | None:
    """Whether the node has an image of this name already; None when not."""
    rows = Resource.objects.filter(kind=KIND, node=node)
    found = _by_name(rows, reference) or _by_id(rows, reference)
    return found[0] if found else None


def _by_id(rows: QuerySet[Resource], wanted: str) -> list[Resource]:
    exact = list(rows.filter(by_id_or_name(wanted, name_column="engine_id"))[:5])
    short = _SHORT_ID.fullmatch(wanted)
    if exact or short is None:
        return exact
    return list(rows.filter(engine_id__startswith=f"sha256:{short[1]}")[:5])


def _by_name(rows: QuerySet[Resource], wanted: str) -> list[Resource]:
    """Tags are a JSON list, which not every database can search: the text narrows, the list decides."""
    try:
        asked = reference_parse(wanted)
    except InvalidInput:
        return []
    key = "digests" if asked.digest else "tags"
    near = rows.filter(data__icontains=asked.path.rpartition("/")[2])
    return [row for row in near if asked.name in _canonical(row.data.get(key) or [])]


def _canonical(names: Iterable[str]) -> set[str]:
    """Engines leave Docker Hub's host away, people need not."""
    known = set(names)
    return known | {f"docker.io/{name}" for name in known} | {f"docker.io/library/{name}" for name in known}


def _default_node(actor: Actor) -> Any:
    try:
        return docker_node(actor).pk
    except NodeNotFound:
        return None


def _counted(rows: QuerySet[Any]) -> QuerySet[Any]:
    users = (
        Instance.objects.filter(node=OuterRef("node"), image_id=OuterRef("engine_id"))
        .order_by()
        .values("image_id")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return rows.annotate(use_count=Coalesce(Subquery(users, output_field=IntegerField()), 0))


def _shown(actor: Actor, rows: list[Resource]) -> list[dict[str, Any]]:
    users = _users(actor, rows)
    shown = []
    for row in rows:
        item = resource_dict(row)
        item["labels"] = mapping_masked(item.get("labels") or {})
        item["dangling"] = not item.get("tags")
        # The number counts all containers, the list only those that the actor may see.
        item["used_by_count"] = getattr(row, "use_count", 0)
        item["used_by"] = users[(row.node_id, row.engine_id)][:_NAMES_MAX]
        shown.append(item)
    return shown


def _users(actor: Actor, rows: list[Resource]) -> dict[Any, list[dict[str, Any]]]:
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    if not rows:
        return found
    using = visible(actor, Instance.objects.filter(image_id__in={row.engine_id for row in rows}))
    for item in using.order_by("name").values("id", "name", "state", "node_id", "image_id"):
        key = (item["node_id"], item["image_id"])
        found[key].append({"id": str(item["id"]), "name": item["name"], "state": item["state"]})
    return found
