"""Storage: the list of pools, the page of one with its volumes, and their dialogs."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from compute.actor import Actor
from compute.complaints import complaints_text
from compute.errors import ComputeError
from compute.models import Operation, Resource
from compute.selectors.access import action_require
from compute.selectors.nodes import backend_node_names
from compute.states import colour_of
from compute.views.api_line import ApiCall, form_look, is_look
from compute.views.common import actor_of, page_of, toast
from compute.views.things import listing, projects_with, rows_for_page, wanted_of
from compute.wording import later, word_text
from kvm.selectors.nodes import BACKEND
from kvm.selectors.storage import (
    StorageFilter,
    pool_dicts,
    pool_row,
    pools_page,
    volume_by_id,
    volume_dicts,
    volumes_page,
)
from kvm.services import pools, volumes
from kvm.storage_forms import GIB, CloneForm, PoolForm, VolumeForm

_page = page_of("kvm_storage")
_DONE = {
    "start": later("starting it …"),
    "stop": later("stopping it …"),
    "refresh": later("looking through it …"),
    "delete": later("forgetting it …"),
}


@require_GET
@_page
def pool_list(request: HttpRequest) -> HttpResponse:
    actor, wanted = actor_of(request), wanted_of(request)
    context = listing(request, actor, wanted, BACKEND)
    found = pools_page(actor, _filter(wanted))
    context |= {"found": found, "rows": [_pool(row) for row in found.items], "is_admin": actor.is_admin}
    template = "_pool_table" if context["is_fragment"] else "pool_list"
    return render(request, f"kvm/{template}.html", context)


@require_http_methods(["GET", "POST"])
@_page
def pool_new(request: HttpRequest) -> HttpResponse:
    actor, message = actor_of(request), ""
    action_require(actor, "pool.create")
    data = request.POST if request.method == "POST" else None
    form = PoolForm(projects_with(actor, "volume.create")[:1], backend_node_names(BACKEND), data)
    if is_look(request):
        return form_look(
            form, lambda: ApiCall("/storage/pools", form.body(), {"node": form.cleaned_data["node"]})
        )
    if data is not None and form.is_valid():
        try:
            operation = pools.pool_create(actor, form.body(), node=form.cleaned_data["node"])
            return toast(_("%(target)s: making it …") % {"target": operation.target}, "info")
        except ComputeError as error:
            message = form.complain(error)
    return render(request, "kvm/_pool_new.html", {"form": form, "message": message})


@require_GET
@_page
def pool_page(request: HttpRequest, pool_id: str) -> HttpResponse:
    actor, wanted = actor_of(request), wanted_of(request)
    row = pool_row(actor, pool_id)
    context = listing(request, actor, wanted, BACKEND)
    found = volumes_page(actor, row, _filter(wanted))
    shown = rows_for_page(actor, found.items, "machines")
    for item in shown:
        item["is_thin"] = bool(item["backing_chain"])
        item["api_url"] = f"/api/v1/storage/pools/{row.pk}/volumes/{item['id']}"
    pool = _pool(pool_dicts(actor, [row])[0])
    context |= {"found": found, "rows": shown, "pool": pool, "is_admin": actor.is_admin}
    template = "_pool" if context["is_fragment"] else "pool_detail"
    return render(request, f"kvm/{template}.html", context)


@require_http_methods(["GET", "POST"])
@_page
def pool_act(request: HttpRequest, pool_id: str, action: str) -> HttpResponse:
    """Starting and refreshing happen at once; stopping and forgetting ask first."""
    actor = actor_of(request)
    row, message = pool_row(actor, pool_id), ""
    if request.method == "POST":
        try:
            pools.pool_act(actor, str(row.pk), action, force=bool(request.POST.get("force")))
            return toast(f"{row.name[:40]}: {_DONE[action]}", "info")
        except ComputeError as error:
            message = error.message
    context = {"row": _pool(pool_dicts(actor, [row])[0]), "action": action, "message": message}
    return render(request, "kvm/_pool_act.html", context)


@require_http_methods(["GET", "POST"])
@_page
def volume_new(request: HttpRequest, pool_id: str) -> HttpResponse:
    actor, message = actor_of(request), ""
    row = pool_row(actor, pool_id)
    data = request.POST if request.method == "POST" else None
    form = VolumeForm(projects_with(actor, "volume.create"), [row.node.name], data)
    if is_look(request):
        path = f"/storage/pools/{row.pk}/volumes"
        return form_look(form, lambda: ApiCall(path, form.body(), {"project": form.cleaned_data["project"]}))
    if data is not None and form.is_valid():
        project = form.cleaned_data["project"]
        try:
            operation = volumes.volume_create(actor, str(row.pk), form.body(), project=project)
            return toast(_("%(target)s: making it …") % {"target": operation.target}, "info")
        except ComputeError as error:
            message = form.complain(error)
    return render(request, "kvm/_volume_new.html", {"form": form, "message": message, "pool": row})


@require_http_methods(["GET", "POST"])
@_page
def volume_clone(request: HttpRequest, volume_id: str) -> HttpResponse:
    actor, message = actor_of(request), ""
    row = volume_by_id(actor, volume_id)
    data = request.POST if request.method == "POST" else None
    running = StorageFilter(node=str(row.node_id), state="running", page_size=500)
    names = sorted(
        (pool["name"] for pool in pools_page(actor, running).items), key=lambda name: name != row.data["pool"]
    )
    form = CloneForm(projects_with(actor, "volume.clone"), [row.node.name], names, data)
    if data is not None and form.is_valid():
        project = form.cleaned_data["project"]
        try:
            operation = volumes.volume_clone(
                actor, *_place(row), form.body(), node=str(row.node_id), project=project
            )
            return toast(_("%(target)s: copying it …") % {"target": operation.target}, "info")
        except ComputeError as error:
            message = form.complain(error)
    return render(request, "kvm/_volume_clone.html", {"form": form, "message": message, "row": row})


@require_http_methods(["GET", "POST"])
@_page
def volume_act(request: HttpRequest, volume_id: str, action: str) -> HttpResponse:
    """``resize``, ``wipe`` or ``delete``; each asks first."""
    actor = actor_of(request)
    row, message = volume_by_id(actor, volume_id), ""
    if request.method == "POST":
        try:
            _volume_work(actor, row, action, request.POST.get("size", ""))()
            return toast(f"{row.name[:40]}: {word_text(action)} …", "info")
        except ComputeError as error:
            message = complaints_text(error)
    shown = rows_for_page(actor, volume_dicts(actor, [row]), "machines")[0]
    context = {"row": shown, "action": action, "message": message, "size": _gib(row.data["capacity"])}
    return render(request, "kvm/_volume_act.html", context)


@require_GET
@_page
def volume_upload(request: HttpRequest, volume_id: str) -> HttpResponse:
    """The dialog; its script sends the file to the API."""
    actor = actor_of(request)
    row = volume_by_id(actor, volume_id)
    pool = pool_row(actor, row.data["pool"], str(row.node_id))
    url = f"/api/v1/storage/pools/{pool.pk}/volumes/{row.pk}/upload"
    return render(request, "kvm/_volume_upload.html", {"row": volume_dicts(actor, [row])[0], "api_url": url})


def _volume_work(actor: Actor, row: Resource, action: str, size: str) -> Callable[[], Operation]:
    at = {"node": str(row.node_id)}
    if action == "resize":
        try:
            wanted = int(Decimal(size) * GIB)
        except (InvalidOperation, ValueError, OverflowError):
            wanted = 0
        return partial(volumes.volume_resize, actor, *_place(row), wanted, **at)
    work = {"wipe": volumes.volume_wipe, "delete": volumes.volume_delete}[action]
    return partial(work, actor, *_place(row), **at)


def _place(row: Resource) -> tuple[str, str]:
    return row.data["pool"], row.name


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}".rstrip("0").rstrip(".")


def _pool(row: dict[str, Any]) -> dict[str, Any]:
    full = row["allocation"] / row["capacity"] if row["capacity"] else 0
    bar = "bg-red" if full > 0.95 else "bg-orange" if full > 0.85 else "bg-primary"
    return {**row, "colour": colour_of("pool", row["state"]), "bar": bar}


def _filter(wanted: Any) -> StorageFilter:
    return StorageFilter(
        q=wanted.q,
        node=wanted.node,
        project=wanted.project,
        in_use=wanted.in_use,
        sort=wanted.sort,
        page=wanted.page,
        page_size=wanted.page_size,
    )
