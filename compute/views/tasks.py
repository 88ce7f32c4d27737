"""The drawer at the foot of every page: what is under way, what just ended, and the log of one of them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from compute.actor import Actor
from compute.errors import NotFound
from compute.selectors.operations import (
    OperationFilter,
    operation_dict,
    operation_get,
    operation_log,
    operations_active_count,
    operations_page,
)
from compute.views.common import actor_of, coloured, page

_ROWS, _LINES = 20, 2000


@require_GET
@page
def task_list(request: HttpRequest) -> HttpResponse:
    """The open drawer; ``open`` is the operation whose log it shows, the newest at first."""
    actor = actor_of(request)
    rows = coloured(operations_page(actor, OperationFilter(parent="none", page_size=_ROWS)).items)
    chosen = _chosen(actor, request.GET.get("open", ""), rows)
    lines = operation_log(actor, chosen["id"], limit=_LINES) if chosen else []
    return render(request, "compute/_tasks.html", {"rows": rows, "chosen": chosen, "lines": lines})


@require_GET
@page
def task_line(request: HttpRequest) -> HttpResponse:
    """The closed drawer: one line."""
    actor = actor_of(request)
    newest = operations_page(actor, OperationFilter(parent="none", page_size=1)).items
    context = {
        "active": operations_active_count(actor),
        "newest": next(iter(coloured(newest)), None),
    }
    return render(request, "compute/_task_line.html", context)


def _chosen(actor: Actor, wanted: str, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The one asked for, also when newer ones have pushed it off the list."""
    if wanted:
        try:
            return coloured([operation_dict(operation_get(actor, wanted))])[0]
        except NotFound:
            pass
    return rows[0] if rows else None
