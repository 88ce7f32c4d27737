"""Where backups go: the list, and the dialogs of administrators."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.complaints import complaints_text
from compute.errors import ComputeError
from compute.execution.backup_store import LOCAL, S3, local_roots
from compute.selectors.access import action_require
from compute.selectors.backups import target_dict, target_get, targets_list
from compute.services import backup_targets
from compute.services.projects import projects_list
from compute.views.api_line import ApiCall, is_look, plain_look, secret_shown
from compute.views.common import actor_of, page_of, toast

page = page_of("backup_targets")
_OPTIONS = {LOCAL: ("folder",), S3: ("bucket", "endpoint", "region", "prefix")}


@require_GET
@page
def target_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    is_part = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    context = {"rows": targets_list(actor), "is_admin": actor.is_admin}
    return render(request, f"compute/backups/{'_targets' if is_part else 'targets'}.html", context)


@require_http_methods(["GET", "POST"])
@page
def target_edit(request: HttpRequest, target_id: str | None = None) -> HttpResponse:
    """The dialog that adds one, or changes it. Empty keys leave the stored ones."""
    actor, message = actor_of(request), ""
    action_require(actor, "backup_target.update")
    row = target_get(actor, target_id) if target_id else None
    shown: dict[str, Any] = (
        target_dict(actor, row) if row else {"kind": LOCAL, "options": {}, "is_enabled": True}
    )
    chosen = [project["id"] for project in shown.get("projects", [])]
    if request.method == "POST":
        given = _given(request, str(shown["kind"]) if row else "")
        if is_look(request):
            return plain_look(_call(row.pk if row else None, given), {"name": given["name"]})
        try:
            made = (
                backup_targets.target_update(actor, row.pk, given)
                if row
                else backup_targets.target_create(actor, given)
            )
            return _said(
                request,
                _("%(name)s was saved. Test it to see whether it takes backups.") % {"name": made.name},
            )
        except ComputeError as error:
            message = complaints_text(error, is_named=True)
            shown, chosen = {**shown, **given, "id": shown.get("id")}, given["projects"]
    context = {
        "row": shown,
        "is_new": row is None,
        "projects": projects_list(actor),
        "chosen": chosen,
        "roots": local_roots(),
        "message": message,
    }
    return _dialog(request, "target_edit", context)


@require_http_methods(["GET", "POST"])
@page
def target_remove(request: HttpRequest, target_id: str) -> HttpResponse:
    actor = actor_of(request)
    action_require(actor, "backup_target.delete")
    row = target_get(actor, target_id)
    if request.method == "GET":
        held = list(row.backups.order_by("instance_name").values_list("instance_name", flat=True).distinct())
        context = {"row": target_dict(actor, row), "held": row.backups.count(), "of": held[:20]}
        return _dialog(request, "target_remove", context)
    backup_targets.target_delete(actor, row.pk, force=bool(request.POST.get("force")))
    return _said(request, _("%(name)s was removed.") % {"name": row.name})


@require_POST
@page
def target_try(request: HttpRequest, target_id: str) -> HttpResponse:
    actor = actor_of(request)
    found = backup_targets.target_test(actor, target_id)
    if request.headers.get("HX-Request"):
        return toast(found["message"], "success" if found["ok"] else "danger")
    return redirect(reverse("backup_targets"))


def _call(pk: Any, given: dict[str, Any]) -> ApiCall:
    """Its keys are not shown."""
    hidden = {name: secret_shown(f"LIBGO_S3_{name.upper()}") for name in given.get("credentials", {})}
    body = {**given, **({"credentials": hidden} if hidden else {})}
    if pk is None:
        return ApiCall("/backups/targets", body)
    return ApiCall(f"/backups/targets/{pk}", body, method="PUT", whole=True)


def _given(request: HttpRequest, kind: str) -> dict[str, Any]:
    posted = request.POST
    kind = kind or posted.get("kind", LOCAL)
    keys = {name: posted.get(name, "") for name in ("access_key", "secret_key") if posted.get(name)}
    return {
        "name": posted.get("name", "").strip(),
        "kind": kind,
        "options": {name: posted.get(name, "").strip() for name in _OPTIONS.get(kind, ())},
        "projects": posted.getlist("projects"),
        "is_enabled": "is_enabled" in posted,
        **({"credentials": keys} if keys else {}),
    }


def _dialog(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    if request.headers.get("HX-Request") and not request.headers.get("HX-Boosted"):
        return render(request, f"compute/backups/_{name}.html", context)
    return render(request, "compute/backups/alone.html", {**context, "part": f"compute/backups/_{name}.html"})


def _said(request: HttpRequest, text: str) -> HttpResponse:
    return toast(text) if request.headers.get("HX-Request") else redirect(reverse("backup_targets"))
