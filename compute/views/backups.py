"""Backups: the list, one of them, making, checking, restoring and deleting; and the tab of an instance."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.complaints import complaints_text
from compute.errors import ComputeError
from compute.models import Backup, Operation
from compute.permissions import holds
from compute.selectors.access import permissions_by_project
from compute.selectors.backups import (
    BackupFilter,
    backup_dict,
    backup_get,
    backup_omits,
    backups_page,
    targets_for,
    targets_list,
)
from compute.selectors.nodes import backend_nodes_room
from compute.selectors.page import Page
from compute.services import backups
from compute.states import ACTIVE_OPERATION_STATES, BackupState
from compute.views.api_line import ApiCall, is_look, plain_look
from compute.views.common import actor_of, number, page_of, toast
from compute.views.instances import instance_context
from compute.views.things import projects_with

page = page_of("backups")
_FILTERS = ("instance", "target", "state")


@require_GET
@page
def backup_list(request: HttpRequest) -> HttpResponse:
    actor, given = actor_of(request), request.GET
    asked: dict[str, Any] = {name: given.get(name, "").replace("\x00", "")[:100] for name in _FILTERS}
    if asked["state"] not in {state.value for state in BackupState}:
        asked["state"] = ""
    at = max(1, number(given.get("page"), 1))
    found = backups_page(actor, BackupFilter(**asked, page=at, page_size=25))
    query = given.copy()
    query.pop("page", None)
    context = {
        **_rows(actor, found),
        "asked": asked,
        "filtered": any(asked.values()),
        "states": [state.value for state in BackupState],
        "targets": targets_list(actor),
        "query": query.urlencode(),
        "full_query": given.urlencode(),
        "url": reverse("backups"),
        "is_admin": actor.is_admin,
    }
    is_part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return render(request, f"compute/backups/{'_table' if is_part else 'list'}.html", context)


@require_GET
@page
def backup_detail(request: HttpRequest, backup_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = _shown(actor, backup_get(actor, backup_id))
    active = Operation.objects.filter(params__backup=row["id"], state__in=sorted(ACTIVE_OPERATION_STATES))
    context = {"row": row, "operation": active.order_by("-created_at").first()}
    is_part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return render(request, f"compute/backups/{'_detail' if is_part else 'detail'}.html", context)


@require_GET
@page
def instance_backups(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "backups")
    at = max(1, number(request.GET.get("page"), 1))
    found = backups_page(actor, BackupFilter(instance=str(instance.pk), page=at, page_size=25))
    targets = targets_for(actor, instance.project_id)
    context |= {
        **_rows(actor, found),
        "has_target": bool(targets),
        "on_instance": True,
        "is_admin": actor.is_admin,
    }
    context |= {"url": reverse("instance_backups", args=[instance.pk]), "full_query": f"page={at}"}
    is_part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    template = "_table" if is_part else "instance"
    return render(request, f"compute/backups/{template}.html", context)


@require_http_methods(["GET", "POST"])
@page
def backup_new(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor, given, message = actor_of(request), request.POST, ""
    instance, context = instance_context(actor, instance_id, "backups")
    if request.method == "POST":
        body = {name: given.get(name, "").strip() for name in ("target", "description")}
        if is_look(request):
            path = f"/compute/instances/{instance.pk}/backups"
            return plain_look(ApiCall(path, body), {"target": body["target"]})
        try:
            backups.backup_create(actor, instance.pk, body)
            return _said(
                request,
                _("%(name)s: backing it up …") % {"name": instance.name},
                "instance_backups",
                instance.pk,
            )
        except ComputeError as error:
            message = complaints_text(error)
    context |= {"targets": targets_for(actor, instance.project_id), "given": given, "message": message}
    context["left_out"] = backup_omits(instance)
    return _dialog(request, "new", context)


@require_http_methods(["GET", "POST"])
@page
def backup_back(request: HttpRequest, backup_id: str) -> HttpResponse:
    actor, given, message = actor_of(request), request.POST, ""
    row = backup_get(actor, backup_id)
    if request.method == "POST":
        body: dict[str, Any] = {
            name: given.get(name, "").strip() or None for name in ("name", "node", "project")
        }
        names = [name.strip() for name in given.get("networks", "").split(",") if name.strip()]
        body |= {"networks": names or None, "start": "start" in given}
        if is_look(request):
            return plain_look(ApiCall(f"/backups/{row.pk}/restore", body), {"name": body["name"] or ""})
        try:
            operation = backups.backup_restore(actor, row.pk, body)
            return _said(
                request,
                _("%(instance_name)s: restoring it …") % {"instance_name": operation.instance_name},
                "operation",
                operation.pk,
            )
        except ComputeError as error:
            message = complaints_text(error)
    context = {
        "row": _shown(actor, row),
        "nodes": backend_nodes_room(row.backend),
        "projects": projects_with(actor, "instance.create"),
        "given": given,
        "message": message,
    }
    return _dialog(request, "restore", context)


@require_POST
@page
def backup_check(request: HttpRequest, backup_id: str) -> HttpResponse:
    backups.backup_verify(actor_of(request), backup_id)
    return _said(request, _("Reading all of it back and comparing …"), "backup", backup_id)


@require_http_methods(["GET", "POST"])
@page
def backup_remove(request: HttpRequest, backup_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = backup_get(actor, backup_id)
    if request.method == "POST":
        backups.backup_delete(actor, row.pk)
        return _said(
            request,
            _("Deleting the backup of %(instance_name)s …") % {"instance_name": row.instance_name},
            "backups",
        )
    return _dialog(request, "delete", {"row": _shown(actor, row)})


def _rows(actor: Actor, found: Page) -> dict[str, Any]:
    allowed = permissions_by_project(actor, (row["project"]["id"] for row in found.items if row["project"]))
    for row in found.items:
        _mark(actor, row, allowed.get(row["project"]["id"] if row["project"] else "", frozenset()))
    return {"rows": found.items, "found": found, "noun": "backup"}


def _shown(actor: Actor, backup: Backup) -> dict[str, Any]:
    row = backup_dict(backup)
    project_id = row["project"]["id"] if row["project"] else ""
    allowed = permissions_by_project(actor, [project_id] if project_id else [])
    return _mark(actor, row, allowed.get(project_id, frozenset()))


def _mark(actor: Actor, row: dict[str, Any], allowed: Any) -> dict[str, Any]:
    """With what this person may press on it."""
    state = BackupState(row["state"])
    still = state in (BackupState.READY, BackupState.DAMAGED)
    row["colour"] = state.colour
    row["may_restore"] = state == BackupState.READY and (actor.is_admin or holds(allowed, "backup.restore"))
    row["may_verify"] = still and (actor.is_admin or holds(allowed, "backup.verify"))
    row["may_delete"] = still and (actor.is_admin or holds(allowed, "backup.delete"))
    return row


def _dialog(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    """The form in the page's dialog, or as a page where there is no script."""
    if request.headers.get("HX-Request") and not request.headers.get("HX-Boosted"):
        return render(request, f"compute/backups/_{name}.html", context)
    return render(request, "compute/backups/alone.html", {**context, "part": f"compute/backups/_{name}.html"})


def _said(request: HttpRequest, text: str, to: str, *words: Any) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return toast(text, "info")
    return redirect(reverse(to, args=words))
