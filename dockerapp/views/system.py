"""What the page of a Docker node shows of its engine, and the dialog that cleans it up."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from compute.actor import Actor
from compute.errors import ComputeError
from compute.models import Node
from compute.selectors.operations import operation_dict, operation_get
from compute.states import ACTIVE_OPERATION_STATES
from compute.views.common import actor_of, page, toast
from compute.wording import later
from dockerapp.selectors.nodes import docker_node
from dockerapp.selectors.system import system_disk, system_info
from dockerapp.services.system import system_prune, system_prune_preview

_PARTS = {
    "images": later("Images"),
    "containers": later("Containers"),
    "volumes": later("Volumes"),
    "build_cache": later("Build cache"),
}
# What goes, in words; the harmless ones are ticked.
_CHOICES = (
    (
        "images",
        later("Images without a name"),
        later("Left over when a tag moved on to a newer image."),
        True,
    ),
    ("build_cache", later("Build cache"), later("The next builds take longer."), True),
    (
        "containers",
        later("Containers that do not run"),
        later("With what was written in them; volumes stay."),
        False,
    ),
    ("networks", later("Networks without containers"), later("Stacks make theirs again."), False),
    (
        "unused_images",
        later("All images without containers"),
        later("They must be pulled or built again."),
        False,
    ),
    ("volumes", later("Volumes without containers"), later("With all that is in them."), False),
)


@require_GET
@page
def node_system(request: HttpRequest, node_id: str) -> HttpResponse:
    """Each half by itself: an engine that measures slowly still says what it is."""
    actor = actor_of(request)
    node = docker_node(actor, node_id)
    context: dict[str, Any] = {"node": node, "is_admin": actor.is_admin}
    for name, ask in (("info", system_info), ("disk", system_disk)):
        try:
            context[name] = ask(actor, node_id)
        except ComputeError as error:
            context[f"{name}_problem"] = error.message
    if "disk" in context:
        context["parts"] = [(title, context["disk"][kind]) for kind, title in _PARTS.items()]
    return render(request, "dockerapp/_node_system.html", context)


@require_http_methods(["GET", "POST"])
@page
def node_prune(request: HttpRequest, node_id: str) -> HttpResponse:
    """Look, tick, remove, and watch it happen."""
    actor = actor_of(request)
    node = docker_node(actor, node_id)
    context: dict[str, Any] = {"node": node}
    if request.method == "POST":
        wanted = {name: True for name, *_ in _CHOICES if request.POST.get(name)}
        if not wanted:
            return toast(_("Tick what may go."), "danger")
        context |= _progress(operation_dict(system_prune(actor, node_id, wanted)))
    elif request.GET.get("operation"):
        context |= _progress(operation_dict(operation_get(actor, request.GET["operation"])))
    else:
        context["rows"] = _rows(actor, node)
    return render(request, "dockerapp/_node_prune.html", context)


def _rows(actor: Actor, node: Node) -> list[dict[str, Any]]:
    plain = system_prune_preview(actor, str(node.pk), {})
    every = system_prune_preview(actor, str(node.pk), {"unused_images": True})
    parts = {**plain, "unused_images": every["images"]}
    return [
        {"kind": kind, "title": title, "text": text, "is_harmless": harmless, "part": parts[kind]}
        for kind, title, text, harmless in _CHOICES
    ]


def _progress(row: dict[str, Any]) -> dict[str, Any]:
    return {"operation": row, "is_active": row["state"] in ACTIVE_OPERATION_STATES}
