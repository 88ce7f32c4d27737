"""What the pages of networks and volumes have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from compute.actor import Actor
from compute.errors import ComputeError
from compute.models import Node, Operation
from compute.selectors.access import permissions_by_project
from compute.services.projects import projects_list
from compute.states import Permission
from compute.views.common import actor_of, number, toast
from dockerapp.selectors.nodes import BACKEND
from dockerapp.selectors.used import UsedFilter
from dockerapp.thing_forms import NetworkForm, VolumeForm

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


def listing(request: HttpRequest, actor: Actor, wanted: UsedFilter) -> dict[str, Any]:
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
        "nodes": docker_node_names(),
        "projects": [row["name"] for row in projects_list(actor)],
        "filtered": bool(wanted.q or wanted.node or wanted.project or wanted.in_use is not None),
        "may_create": bool(projects_with(actor, Permission.CREATE)),
        "is_fragment": bool(request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")),
    }


def bulk_actions(kind: str, text: str) -> list[dict[str, Any]]:
    """What can be done to the chosen ones; see ``static/js/bulk.js``."""
    return [
        {
            "word": "delete",
            "label": "Delete",
            "method": "DELETE",
            "url": f"/api/v1/docker/{kind}s/{{id}}?wait=30",
            "title": f"Delete the chosen {kind}s ({{n}})?",
            "text": text,
            "danger": True,
        }
    ]


def rows_for_page(actor: Actor, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with what this person may do to them."""
    allowed = permissions_by_project(actor, (row["project"]["id"] for row in rows if row["project"]))
    for row in rows:
        permissions = allowed[row["project"]["id"]] if row["project"] else frozenset()
        row["may_delete"] = actor.is_admin or Permission.DELETE in permissions
        row["may_export"] = actor.is_admin or Permission.EXPORT in permissions
        row["may_update"] = actor.is_admin or Permission.UPDATE in permissions
        row["hidden_users"] = row["in_use"] and not row["containers"]
    return rows


def projects_with(actor: Actor, permission: Permission) -> list[str]:
    """Names of the projects in which the actor has it, the default one first."""
    rows = sorted(projects_list(actor), key=lambda row: (not row["is_default"], row["name"]))
    allowed = permissions_by_project(actor, (row["id"] for row in rows))
    return [row["name"] for row in rows if permission in allowed[row["id"]]]


def docker_node_names() -> list[str]:
    rows = Node.objects.filter(backend=BACKEND, is_enabled=True).order_by("-is_local", "name")
    return list(rows.values_list("name", flat=True))


def thing_new(
    request: HttpRequest,
    form_class: type[NetworkForm] | type[VolumeForm],
    create: Callable[..., Operation],
    template: str,
) -> HttpResponse:
    """The dialog that makes one; shown again with what is wrong."""
    actor, message = actor_of(request), ""
    data = request.POST if request.method == "POST" else None
    form = form_class(projects_with(actor, Permission.CREATE), docker_node_names(), data)
    if data is not None and form.is_valid():
        at = {"node": form.cleaned_data["node"], "project": form.cleaned_data["project"]}
        try:
            operation = create(actor, form.body(), **at)
            return toast(f"{operation.target}: making it …", "info")
        except ComputeError as error:
            message = form.complain(error)
    return render(request, template, {"form": form, "message": message})
