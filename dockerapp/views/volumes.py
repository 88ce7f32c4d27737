"""The list of volumes, the page of one, and their dialogs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from compute.models import Node
from compute.selectors.nodes import backend_node_names
from compute.states import InstanceState
from compute.views.common import actor_of, page_of, toast
from compute.views.things import (
    bulk_actions,
    listing,
    projects_with,
    rows_for_page,
    thing_new,
    wanted_of,
)
from dockerapp.selectors.nodes import BACKEND
from dockerapp.selectors.volumes import (
    docker_nodes,
    volume_detail,
    volume_row,
    volume_sizes_measure,
    volumes_page,
)
from dockerapp.services import volumes
from dockerapp.thing_forms import VolumeForm

_page = page_of("docker_volumes")


@require_GET
@_page
def volume_list(request: HttpRequest) -> HttpResponse:
    """``sizes=1`` lets the engines measure first."""
    actor, wanted = actor_of(request), wanted_of(request)
    problems: dict[str, str] = {}
    if request.GET.get("sizes"):
        node = Node.objects.filter(name=wanted.node).first() if wanted.node else None
        problems = volume_sizes_measure(docker_nodes(node))
    found = volumes_page(actor, wanted)
    context = listing(request, actor, wanted, BACKEND)
    context |= {"found": found, "rows": rows_for_page(actor, found.items)}
    context["problems"] = problems
    context["bulk_actions"] = bulk_actions(
        "volume", "docker/volumes", _("All that is in them is lost, and cannot be brought back.")
    )
    template = "_volume_table" if context["is_fragment"] else "volume_list"
    return render(request, f"dockerapp/{template}.html", context)


@require_http_methods(["GET", "POST"])
@_page
def volume_new(request: HttpRequest) -> HttpResponse:
    template = "dockerapp/_volume_new.html"
    return thing_new(request, VolumeForm, volumes.volume_create, template, BACKEND, "/docker/volumes")


@require_GET
@_page
def volume_page(request: HttpRequest, volume_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = volume_row(actor, volume_id)
    if request.GET.get("sizes"):
        volume_sizes_measure([row.node])
        row.refresh_from_db(fields=["size_bytes"])
    shown = rows_for_page(actor, [volume_detail(actor, row)])[0]
    for user in shown["containers"]:
        user["colour"] = InstanceState(user["state"]).colour
    template = "_volume" if request.GET.get("part") == "body" else "volume_detail"
    return render(request, f"dockerapp/{template}.html", {"row": shown})


@require_http_methods(["GET", "POST"])
@_page
def volume_remove(request: HttpRequest, volume_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = volume_row(actor, volume_id)
    if request.method == "POST":
        volumes.volume_delete(actor, str(row.pk), force=bool(request.POST.get("force")))
        return toast(_("%(name)s: removing it …") % {"name": row.name[:40]}, "info")
    return render(request, "dockerapp/_volume_remove.html", {"row": volume_detail(actor, row)})


@require_http_methods(["GET", "POST"])
@_page
def volume_prune(request: HttpRequest) -> HttpResponse:
    """What would go, and then the order to remove it."""
    actor = actor_of(request)
    given = request.POST if request.method == "POST" else request.GET
    projects, nodes = projects_with(actor, "volume.prune"), backend_node_names(BACKEND)
    node = given.get("node") or (nodes[0] if nodes else "")
    project: str | None = given.get("project") or ("" if actor.is_admin else (projects or [""])[0])
    every = bool(given.get("every"))
    where: dict[str, Any] = {"node": node, "project": project or None, "every": every}
    if request.method == "POST":
        operation = volumes.volumes_prune(actor, **where).operation
        assert operation is not None
        return toast(_("Removing unused volumes of %(node)s …") % {"node": node}, "info")
    found = volumes.volumes_prune(actor, **where, dry_run=True)
    sizes = [item["size_bytes"] for item in found.items]
    context = {
        "items": found.items,
        "projects": projects,
        "nodes": nodes,
        **where,
        "project": project,
        "total": None if None in sizes else sum(sizes),
    }
    return render(request, "dockerapp/_volume_prune.html", context)


@require_GET
@_page
def volume_restore(request: HttpRequest, volume_id: str) -> HttpResponse:
    """The dialog that asks before content is replaced; its script sends the file to the API."""
    actor = actor_of(request)
    row = volume_row(actor, volume_id)
    context = {"row": volume_detail(actor, row), "api_url": f"/api/v1/docker/volumes/{row.pk}"}
    return render(request, "dockerapp/_volume_restore.html", context)
