"""Dashboard, operations, nodes."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from compute.selectors.cluster import cluster_status
from compute.selectors.instances import InstanceFilter, instance_counts, instances_page
from compute.selectors.operations import (
    OperationFilter,
    operation_full,
    operation_get,
    operation_log,
    operations_page,
)
from compute.services.limit_settings import site_limits_read
from compute.services.operations import operation_cancel
from compute.states import InstanceState, NodeStatus, OperationState
from compute.views.common import actor_of, number, page, toast
from compute.views.limits import bars_of


def _coloured(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        row["colour"] = _colour(row["state"])
        for child in row.get("children") or ():
            child["colour"] = _colour(child["state"])
    return rows


def _colour(state: str) -> str:
    return "secondary" if state == "waiting" else OperationState(state).colour


@require_GET
@page
def dashboard(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    counts = instance_counts(actor)
    status = cluster_status(actor)
    for node in status["nodes"]:
        node["colour"] = NodeStatus(node["status"]).colour
    context = {
        "cluster": status,
        "counts": counts,
        "limit_bars": bars_of(site_limits_read(actor)),
        "states": [(s.value, s.colour, counts["by_state"].get(s.value, 0)) for s in InstanceState],
        "running": instances_page(
            actor, InstanceFilter(state="running", sort=["-created_at"], page_size=8)
        ).items,
        "operations": _coloured(operations_page(actor, OperationFilter(parent="none", page_size=8)).items),
    }
    is_fragment = bool(request.headers.get("HX-Request")) and request.GET.get("part") == "body"
    return render(request, "compute/_dashboard.html" if is_fragment else "compute/dashboard.html", context)


@require_GET
@page
def operation_list(request: HttpRequest) -> HttpResponse:
    state = request.GET.get("state", "")
    # A bulk operation stands for its children, which its own page shows.
    wanted = OperationFilter(
        state=state, parent="none", page=max(1, number(request.GET.get("page"), 1)), page_size=25
    )
    found = operations_page(actor_of(request), wanted)
    context = {
        "found": found,
        "rows": _coloured(found.items),
        "state": state,
        "states": [word.value for word in OperationState],
        "full_query": request.GET.urlencode(),
    }
    template = (
        "compute/_operation_table.html"
        if request.headers.get("HX-Request")
        else "compute/operation_list.html"
    )
    return render(request, template, context)


@require_GET
@page
def operation_detail(request: HttpRequest, operation_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = _coloured([operation_full(operation_get(actor, operation_id))])[0]
    context = {"row": row, "lines": operation_log(actor, operation_id, limit=2000)}
    template = (
        "compute/_operation.html" if request.headers.get("HX-Request") else "compute/operation_detail.html"
    )
    return render(request, template, context)


@require_POST
@page
def operation_stop(request: HttpRequest, operation_id: str) -> HttpResponse:
    operation = operation_cancel(actor_of(request), operation_id)
    return toast(f"{operation}: it will stop at its next step.", "info")
