"""The dialog that moves an instance to another node: where to, what speaks against it, go."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from compute.complaints import complaints_text
from compute.errors import ComputeError, InvalidInput
from compute.services.migration import instance_migrate, migrate_check, migrate_targets
from compute.views.common import actor_of, page, toast
from compute.views.instances import instance_context

_MIB = 1024**2


@require_http_methods(["GET", "POST"])
@page
def migrate(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "overview")
    if request.method == "POST":
        try:
            body = _body(request)
            instance_migrate(actor, instance.pk, body)
        except ComputeError as error:
            return render(request, "compute/_migrate_checks.html", {"message": complaints_text(error)})
        return toast(_("%(name)s: moving …") % {"name": instance.name}, "info")
    return render(request, "compute/_migrate.html", {**context, "targets": migrate_targets(instance)})


@require_POST
@page
def migrate_look(request: HttpRequest, instance_id: str) -> HttpResponse:
    """What is found about the chosen node. A POST: looking writes a file of a few bytes for a moment."""
    context: dict[str, Any]
    try:
        context = migrate_check(actor_of(request), instance_id, {"node": request.POST.get("node", "")})
    except ComputeError as error:
        context = {"message": complaints_text(error)}
    return render(request, "compute/_migrate_checks.html", context)


def _body(request: HttpRequest) -> dict[str, Any]:
    speed = request.POST.get("speed", "").strip()
    if speed and not (speed.isascii() and speed.isdigit() and 0 < int(speed[:8]) < 10**6):
        raise InvalidInput.field("speed", "must be a number of MiB per second.")
    return {"node": request.POST.get("node", ""), "max_bytes_per_s": int(speed or 0) * _MIB}
