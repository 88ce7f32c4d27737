"""The Snapshots tab of a machine: a tree, and the dialogs around it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from compute.complaints import complaints_text
from compute.errors import ComputeError
from compute.selectors.access import action_require
from compute.services import snapshots
from compute.states import InstanceState
from compute.views.common import actor_of, name_confirm, page, toast
from compute.views.instances import instance_context

# Deeper branches stand below each other: a phone has no room for more.
_INDENT_MAX = 6


@require_GET
@page
def machine_snapshots(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "snapshots")
    try:
        context["tree"] = _tree(snapshots.snapshots_list(actor, instance.pk))
    except ComputeError as error:
        context["problem"] = error.message
    part = request.GET.get("part") == "tab"
    return render(request, f"kvm/{'_machine_snapshots' if part else 'machine_snapshots'}.html", context)


@require_http_methods(["GET", "POST"])
@page
def snapshot_new(request: HttpRequest, instance_id: str) -> HttpResponse:
    """The dialog; what it may ask for depends on whether the machine runs and on the kind it has."""
    actor, given = actor_of(request), request.POST
    instance, context = instance_context(actor, instance_id, "snapshots")
    action_require(actor, "instance.snapshot", instance.project_id)
    message = ""
    if request.method == "POST":
        body: dict[str, Any] = {key: given.get(key, "").strip() for key in ("name", "description")}
        if given.get("content") in ("disks", "quiesce"):
            body |= {"include_memory": False, "quiesce": given["content"] == "quiesce"}
        try:
            snapshots.snapshot_create(actor, instance.pk, body)
            return toast(_("%(name)s: taking a snapshot …") % {"name": instance.name}, "info")
        except ComputeError as error:
            message = complaints_text(error)
    known = snapshots.snapshots_list(actor, instance.pk)
    context |= {
        "message": message,
        "given": given,
        "running": instance.state in (InstanceState.RUNNING, InstanceState.PAUSED),
        "kind": known[0]["kind"] if known else "",
        "firmware": instance.config.get("firmware", ""),
    }
    return render(request, "kvm/_snapshot_new.html", context)


@require_http_methods(["GET", "POST"])
@page
def snapshot_back(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "snapshots")
    action_require(actor, "instance.restore", instance.project_id)
    if request.method == "POST":
        name = request.POST.get("name", "")
        name_confirm(request, instance.name)
        snapshots.snapshot_restore(actor, instance.pk, name)
        return toast(
            _("%(name)s: going back to %(name_2)s …") % {"name": instance.name, "name_2": name[:40]}, "info"
        )
    context["item"] = _shown(snapshots.snapshot_get(actor, instance.pk, request.GET.get("name", "")))
    return render(request, "kvm/_snapshot_restore.html", context)


@require_http_methods(["GET", "POST"])
@page
def snapshot_remove(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "snapshots")
    action_require(actor, "instance.snapshot_delete", instance.project_id)
    if request.method == "POST":
        name = request.POST.get("name", "")
        snapshots.snapshot_delete(actor, instance.pk, name)
        return toast(
            _("%(name)s: deleting the snapshot %(name_2)s …") % {"name": instance.name, "name_2": name[:40]},
            "info",
        )
    context["item"] = _shown(snapshots.snapshot_get(actor, instance.pk, request.GET.get("name", "")))
    return render(request, "kvm/_snapshot_delete.html", context)


def _tree(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each after its parent, with how deep it stands; a chain without branches stays at one depth."""
    children: dict[str, list[dict[str, Any]]] = {}
    names = {item["name"] for item in items}
    for item in items:
        parent = item["parent"] if item["parent"] in names else ""
        children.setdefault(parent, []).append(item)
    found: list[dict[str, Any]] = []
    waiting = [(item, 0) for item in reversed(children.get("", []))]
    while waiting:
        item, depth = waiting.pop()
        below = children.get(item["name"], [])
        found.append({**_shown(item), "depth": min(depth, _INDENT_MAX), "branches": len(below) > 1})
        waiting += [(child, depth + 1) for child in reversed(below)]
    return found


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    created = parse_datetime(item["created_at"]) if item["created_at"] else None
    return {**item, "created": created}
