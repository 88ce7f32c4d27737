"""Operations: their list, one with its log, and stopping it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from compute.selectors.operations import (
    OperationFilter,
    operation_full,
    operation_get,
    operation_log,
    operations_page,
)
from compute.services.operations import operation_cancel
from compute.states import OperationState
from compute.views.common import actor_of, coloured, number, page, toast


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
        "rows": coloured(found.items),
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
    row = coloured([operation_full(operation_get(actor, operation_id))])[0]
    context = {"row": row, "lines": operation_log(actor, operation_id, limit=2000)}
    template = (
        "compute/_operation.html" if request.headers.get("HX-Request") else "compute/operation_detail.html"
    )
    return render(request, template, context)


@require_POST
@page
def operation_stop(request: HttpRequest, operation_id: str) -> HttpResponse:
    operation = operation_cancel(actor_of(request), operation_id)
    return toast(_("%(operation)s: it will stop at its next step.") % {"operation": operation}, "info")
