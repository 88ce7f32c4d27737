"""What the pages of things that are no instances have in common: lists, filters, dialogs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from compute.actor import Actor
from compute.errors import ComputeError
from compute.models import Operation
from compute.permissions import holds
from compute.selectors.access import permissions_by_project
from compute.selectors.nodes import backend_node_names
from compute.selectors.used import UsedFilter
from compute.services.projects import projects_list
from compute.thing_forms import ThingForm
from compute.views.api_line import ApiCall, form_look, is_look
from compute.views.common import actor_of, number, toast
from compute.wording import counted_noun

_IN_USE = {"yes": True, "no": False}


def wanted_of(request: HttpRequest) -> UsedFilter:
    """The filter that stands in the address of a list."""
    given = request.GET
    return UsedFilter(
        q=given.get("q", "").replace("\x00", "")[:100],
        node=given.get("node", "")[:100],
        project=given.get("project", "")[:100],
        in_use=_IN_USE.get(given.get("in_use", "")),
        sort=[given["sort"]] if given.get("sort") in _SORTS else [],
        page=max(1, number(given.get("page"), 1)),
        page_size=25,
    )


_SORTS = {sign + word for word in ("name", "created_at", "size", "node", "project") for sign in ("", "-")}


def listing(request: HttpRequest, actor: Actor, wanted: UsedFilter, backend: str) -> dict[str, Any]:
    """What a list shows around its rows."""
    query, sort_query = request.GET.copy(), request.GET.copy()
    for name in ("page", "sizes"):
        query.pop(name, None)
    for name in ("page", "sort", "sizes"):
        sort_query.pop(name, None)
    return {
        "wanted": wanted,
        "in_use": request.GET.get("in_use", ""),
        "sort": request.GET.get("sort", "name"),
        "query": query.urlencode(),
        "sort_query": sort_query.urlencode(),
        "full_query": query.urlencode() + (f"&page={wanted.page}" if wanted.page > 1 else ""),
        "nodes": backend_node_names(backend),
        "projects": [row["name"] for row in projects_list(actor)],
        "filtered": bool(wanted.q or wanted.node or wanted.project or wanted.in_use is not None),
        "may_create": bool(projects_with(actor, "network.create")),
        "is_fragment": bool(request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")),
    }


def bulk_actions(noun: str, url: str, text: str) -> list[dict[str, Any]]:
    """What can be done to the chosen ones of the API's ``url``; see ``static/js/bulk.js``."""
    return [
        {
            "word": "delete",
            "label": _("Delete"),
            "method": "DELETE",
            "url": f"/api/v1/{url}/{{id}}?wait=30",
            "title": _("Delete the chosen %(nouns)s ({n})?") % {"nouns": counted_noun(noun, 2)},
            "text": text,
            "danger": True,
        }
    ]


def rows_for_page(
    actor: Actor, rows: list[dict[str, Any]], users: str = "containers"
) -> list[dict[str, Any]]:
    """Rows with what this person may do to them; ``users`` is the key under which those who use one stand."""
    allowed = permissions_by_project(actor, (row["project"]["id"] for row in rows if row["project"]))
    for row in rows:
        permissions = allowed[row["project"]["id"]] if row["project"] else frozenset()
        row["may_delete"] = actor.is_admin or holds(permissions, "volume.delete")
        row["may_export"] = actor.is_admin or holds(permissions, "volume.content")
        row["may_update"] = actor.is_admin or holds(permissions, "volume.update")
        row["users"] = row[users]
        row["hidden_users"] = row["in_use"] and not row["users"]
    return rows


def projects_with(actor: Actor, action: str) -> list[str]:
    """Names of the projects in which the actor may do it, the default one first."""
    rows = sorted(projects_list(actor), key=lambda row: (not row["is_default"], row["name"]))
    allowed = permissions_by_project(actor, (row["id"] for row in rows))
    return [row["name"] for row in rows if holds(allowed[row["id"]], action)]


def thing_new(
    request: HttpRequest,
    form_class: type[ThingForm],
    create: Callable[..., Operation],
    template: str,
    backend: str,
    path: str,
) -> HttpResponse:
    """The dialog that makes one; shown again with what is wrong. ``path`` is that of the API."""
    actor, message = actor_of(request), ""
    data = request.POST if request.method == "POST" else None
    form = form_class(projects_with(actor, "network.create"), backend_node_names(backend), data)
    if is_look(request):
        return form_look(form, lambda: ApiCall(path, form.body(), _place(form)))
    if data is not None and form.is_valid():
        at = _place(form)
        try:
            operation = create(actor, form.body(), **at)
            return toast(_("%(target)s: making it …") % {"target": operation.target}, "info")
        except ComputeError as error:
            message = form.complain(error)
    return render(request, template, {"form": form, "message": message})


def _place(form: ThingForm) -> dict[str, Any]:
    return {"node": form.cleaned_data["node"], "project": form.cleaned_data["project"]}
