"""The library of templates and ISOs, and its dialogs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from compute.errors import ComputeError
from compute.selectors.nodes import backend_node_names
from compute.views.common import actor_of, page_of, toast
from compute.views.things import listing, projects_with, rows_for_page, wanted_of
from kvm.selectors.nodes import BACKEND
from kvm.selectors.storage import StorageFilter, image_dicts, image_row, images_page, pools_page
from kvm.services import images
from kvm.services.images import Place
from kvm.storage_forms import ImageForm

_page = page_of("kvm_images")
_KINDS = ("template", "iso")


@require_GET
@_page
def image_list(request: HttpRequest) -> HttpResponse:
    actor, wanted = actor_of(request), wanted_of(request)
    kind = request.GET.get("kind", "")
    found = images_page(
        actor,
        StorageFilter(
            q=wanted.q,
            node=wanted.node,
            project=wanted.project,
            kind=kind if kind in _KINDS else "",
            in_use=wanted.in_use,
            sort=wanted.sort,
            page=wanted.page,
            page_size=wanted.page_size,
        ),
    )
    context = listing(request, actor, wanted, BACKEND)
    context |= {"found": found, "rows": rows_for_page(actor, found.items, "machines"), "kind": kind}
    context["uploads"] = images.uploads_of(actor)
    template = "_image_table" if context["is_fragment"] else "image_list"
    return render(request, f"kvm/{template}.html", context)


@require_GET
@_page
def image_upload(request: HttpRequest) -> HttpResponse:
    """The dialog; its script sends the file to the API, piece by piece."""
    actor = actor_of(request)
    nodes = backend_node_names(BACKEND)
    running = pools_page(actor, StorageFilter(state="running", page_size=500)).items
    context = {
        "nodes": nodes,
        "projects": projects_with(actor, "disk_image.create"),
        "pools": sorted({pool["name"] for pool in running}),
        "is_admin": actor.is_admin,
    }
    return render(request, "kvm/_image_upload.html", context)


@require_http_methods(["GET", "POST"])
@_page
def image_new(request: HttpRequest) -> HttpResponse:
    actor, message = actor_of(request), ""
    data = request.POST if request.method == "POST" else None
    form = ImageForm(projects_with(actor, "disk_image.create"), backend_node_names(BACKEND), data)
    if data is None:
        form.initial["instance"] = request.GET.get("instance", "")[:100]
    elif form.is_valid():
        place = Place(form.cleaned_data["node"], form.cleaned_data["project"])
        try:
            operation = images.image_create(actor, place, form.body())
            return toast(_("%(target)s: making it …") % {"target": operation.target}, "info")
        except ComputeError as error:
            message = form.complain(error)
    return render(request, "kvm/_image_new.html", {"form": form, "message": message})


@require_http_methods(["GET", "POST"])
@_page
def image_remove(request: HttpRequest, image_id: str) -> HttpResponse:
    actor = actor_of(request)
    row, message = image_row(actor, image_id), ""
    if request.method == "POST":
        try:
            images.image_delete(actor, str(row.pk))
            return toast(_("%(name)s: removing it …") % {"name": row.name[:40]}, "info")
        except ComputeError as error:
            message = error.message
    shown = rows_for_page(actor, image_dicts(actor, [row]), "machines")[0]
    return render(request, "kvm/_image_remove.html", {"row": shown, "message": message})
