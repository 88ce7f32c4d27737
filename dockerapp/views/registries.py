"""The page of registries: list, add, change, test, remove."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.selectors.access import action_require
from compute.selectors.operations import operation_dict, operation_get
from compute.services.projects import projects_list
from compute.states import OperationState
from compute.views.common import actor_of, page, toast
from dockerapp.selectors.registries import registries_page, registry_dict, registry_get
from dockerapp.services import registries
from dockerapp.views.lists import sort_of


@require_GET
@page
def registry_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    sort = sort_of(request, ("name", "host", "project")) or ["name"]
    q = request.GET.get("q", "").replace("\x00", "")[:100]
    found = registries_page(actor, q=q, sort=sort, page=1, page_size=200)
    context = {
        "rows": found.items,
        "q": q,
        "sort": sort[0],
        "full_query": request.GET.urlencode(),
        "is_admin": actor.is_admin,
    }
    is_fragment = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    template = "_registry_table" if is_fragment else "registry_list"
    return render(request, f"dockerapp/{template}.html", context)


@require_http_methods(["GET", "POST"])
@page
def registry_edit(request: HttpRequest, registry_id: str | None = None) -> HttpResponse:
    """The dialog that adds one, or changes it. An empty password leaves the stored one."""
    actor = actor_of(request)
    action_require(actor, "registry.update")
    row = registry_get(actor, registry_id) if registry_id else None
    if request.method == "GET":
        projects = [item["name"] for item in projects_list(actor)]
        shown = registry_dict(row) if row else None
        return render(request, "dockerapp/_registry_edit.html", {"row": shown, "projects": projects})
    given = _given(request)
    if row is None:
        made = registries.registry_create(actor, given)
        return toast(_("%(name)s was added. Test it to see whether it lets LibGo in.") % {"name": made.name})
    if not given["password"]:
        del given["password"]
    registries.registry_update(actor, row.pk, given)
    return toast(_("%(name)s was changed.") % {"name": given["name"]})


@require_http_methods(["GET", "POST"])
@page
def registry_remove(request: HttpRequest, registry_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = registry_get(actor, registry_id)
    if request.method == "GET":
        return render(request, "dockerapp/_registry_remove.html", {"row": registry_dict(row)})
    registries.registry_delete(actor, row.pk)
    return toast(_("%(name)s was removed.") % {"name": row.name})


@require_POST
@page
def registry_test(request: HttpRequest, registry_id: str) -> HttpResponse:
    actor = actor_of(request)
    return _test_shown(request, operation_dict(registries.registry_test(actor, registry_id)))


@require_GET
@page
def registry_test_look(request: HttpRequest, operation_id: str) -> HttpResponse:
    actor = actor_of(request)
    action_require(actor, "registry.test")
    return _test_shown(request, operation_dict(operation_get(actor, operation_id)))


def _test_shown(request: HttpRequest, operation: dict[str, Any]) -> HttpResponse:
    over = OperationState(operation["state"]).is_final
    message = (operation["error"] or {}).get("message") or operation["result"].get("message", "")
    context = {"operation": operation, "over": over, "ok": operation["result"].get("ok"), "message": message}
    return render(request, "dockerapp/_registry_test.html", context)


def _given(request: HttpRequest) -> dict[str, Any]:
    given = {name: request.POST.get(name, "").strip() for name in ("name", "url", "username")}
    return {
        **given,
        "password": request.POST.get("password", ""),
        "project": request.POST.get("project") or None,
    }
