"""What networks and volumes have in common: they are listed with who uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from compute.actor import Actor
from compute.models import Resource
from compute.selectors.identity import by_id_or_name
from compute.selectors.nodes import backend_node
from compute.selectors.page import Page, order_by, page_bounds
from compute.selectors.resource_users import used_condition
from compute.selectors.resources import SORT_COLUMNS, resources_visible


@dataclass(frozen=True)
class UsedFilter:
    """Empty means "any"; ``in_use`` None: used or not. ``q`` searches the name and the driver."""

    q: str = ""
    node: str = ""
    project: str = ""
    driver: str = ""
    in_use: bool | None = None
    sort: list[str] = field(default_factory=list)
    page: int = 1
    page_size: int = 50


def used_page(
    actor: Actor,
    backend: str,
    kind: str,
    wanted: UsedFilter,
    shapes: Callable[[Actor, Iterable[Resource]], list[dict[str, Any]]],
) -> Page:
    """A page of one kind; how many queries it takes does not grow with its length."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = resources_visible(actor, kind).filter(node__backend=backend)
    if wanted.node:
        rows = rows.filter(node=backend_node(actor, backend, wanted.node))
    if wanted.project:
        rows = rows.filter(by_id_or_name(wanted.project, id_column="project_id", name_column="project__name"))
    if wanted.driver:
        rows = rows.filter(data__driver=wanted.driver)
    if wanted.q:
        words = Q(name__icontains=wanted.q) | Q(engine_id__icontains=wanted.q)
        rows = rows.filter(words | Q(data__driver__icontains=wanted.q) | Q(project__name__icontains=wanted.q))
    if wanted.in_use is not None:
        used = used_condition(set(rows.values_list("node_id", flat=True)), kind)
        rows = rows.filter(used) if wanted.in_use else rows.exclude(used)
    ordering = order_by(wanted.sort or ["name"], SORT_COLUMNS, "id")
    found = shapes(actor, rows.order_by(*ordering)[start:end])
    return Page(found, rows.count(), wanted.page, wanted.page_size)
