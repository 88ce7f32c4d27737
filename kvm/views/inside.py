"""The inside of a machine, as pages: what its guest tells, and what it is told at its start."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods

from compute.actor import Actor
from compute.errors import ComputeError
from compute.selectors.access import action_require
from compute.told import told_text
from compute.views.common import actor_of, page
from compute.views.instances import instance_context
from compute.wording import later
from kvm.services.cloud_init import TEXTS, cloud_init_change, cloud_init_shown
from kvm.services.guests import guest_shown

_EDITORS = (
    ("user_data", later("begins with #cloud-config, #! or another header of cloud-init"), 16),
    ("meta_data", later("instance-id and local-hostname"), 5),
    ("network_config", later("version 1 or 2; empty means DHCP"), 7),
)


@require_GET
@page
def machine_guest(request: HttpRequest, instance_id: str) -> HttpResponse:
    """Asked once the page stands: an agent may take its time."""
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "guest")
    action_require(actor, "instance.guest", instance.project_id)
    if request.GET.get("part") != "body":
        return render(request, "kvm/machine_guest.html", context)
    try:
        context["guest"] = guest_shown(actor, instance_id)
    except ComputeError as error:
        context["message"], context["details"] = error.message, error.details
    return render(request, "kvm/_machine_guest.html", context)


@require_http_methods(["GET", "POST"])
@page
def machine_cloud_init(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "cloud_init")
    action_require(actor, "instance.seed_read", instance.project_id)
    if request.method == "POST":
        return render(request, "kvm/_cloud_init_verdict.html", _saved(actor, instance_id, request))
    try:
        seed = context["seed"] = cloud_init_shown(actor, instance_id)
        context["editors"] = [
            {"name": name, "title": TEXTS[name], "text": seed[name], "hint": hint, "rows": rows}
            for name, hint, rows in _EDITORS
        ]
    except ComputeError as error:
        context["message"] = error.message
    return render(request, "kvm/machine_cloud_init.html", context)


def _saved(actor: Actor, instance_id: str, request: HttpRequest) -> dict[str, Any]:
    """The problems with their lines, or the operation that writes it."""
    given: dict[str, Any] = {name: request.POST.get(name, "").replace("\r\n", "\n") for name in TEXTS}
    # Untouched texts stay as they are: so does what they hide.
    shown = cloud_init_shown(actor, instance_id)
    body: dict[str, Any] = {name: text for name, text in given.items() if text != shown[name]}
    body["rerun"] = bool(request.POST.get("rerun"))
    try:
        return {"operation": cloud_init_change(actor, instance_id, body)}
    except ComputeError as error:
        fields = error.details.get("fields") or {}
        return {"message": error.message, "problems": [_problem(*item) for item in fields.items()]}


def _problem(field: str, reason: str) -> dict[str, Any]:
    found = re.fullmatch(r"line (\d+): (.*)", reason, re.DOTALL)
    if found is None:
        return {"field": field, "line": "", "reason": told_text(reason)}
    # The line stands in a button of its own, so its word goes from what is said.
    said = re.sub(r"\w+ \d+: ", "", told_text(reason), count=1)
    return {"field": field, "line": found[1], "reason": said}
