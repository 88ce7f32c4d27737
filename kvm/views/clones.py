"""The dialog that clones a machine, and the page that makes one of a file."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from compute.complaints import complaints_text
from compute.errors import ComputeError
from compute.selectors.nodes import backend_node_names
from compute.services.snapshots import instance_clone
from compute.states import InstanceState
from compute.views.common import actor_of, page, page_of, toast
from compute.views.instances import instance_context
from compute.views.things import projects_with
from kvm.selectors.nodes import BACKEND

_FORMATS = ("ova", "qcow2", "vmdk", "vdi", "raw")


@require_http_methods(["GET", "POST"])
@page
def machine_clone(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor, given = actor_of(request), request.POST
    instance, context = instance_context(actor, instance_id, "overview")
    message = ""
    if request.method == "POST":
        body = {
            "name": given.get("name", "").strip(),
            "project": given.get("project") or None,
            "auto_start": bool(given.get("auto_start")),
            "linked": bool(given.get("linked")),
        }
        try:
            instance_clone(actor, instance.pk, body)
            return toast(_("%(name)s: cloning …") % {"name": body["name"]}, "info")
        except ComputeError as error:
            message = complaints_text(error)
    context |= {
        "message": message,
        "given": given,
        "is_post": request.method == "POST",
        "running": instance.state in (InstanceState.RUNNING, InstanceState.PAUSED),
        "own_project": instance.project.name if instance.project else "",
        "projects": projects_with(actor, "instance.create"),
    }
    return render(request, "kvm/_machine_clone.html", context)


@require_GET
@page_of("instances")
def machine_import(request: HttpRequest) -> HttpResponse:
    """Its script sends the file to the API."""
    context = {
        "formats": _FORMATS,
        "nodes": backend_node_names(BACKEND),
        "projects": projects_with(actor_of(request), "instance.create"),
    }
    return render(request, "kvm/machine_import.html", context)
