"""What only a container's page has: its processes, its changed files, its settings, an image of it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.errors import ComputeError, InvalidInput
from compute.models import Instance
from compute.selectors.access import action_require
from compute.selectors.masking import config_masked
from compute.selectors.sealed_config import config_opened
from compute.views.common import actor_of, name_confirm, page, toast
from compute.views.instances import instance_context
from dockerapp.forms import EditForm, initial_of
from dockerapp.services.container_reads import container_changes, container_top
from dockerapp.services.containers import container_commit, container_recreate

_COLUMNS = "-eo pid,user,pcpu,pmem,rss,etime,args"


@require_GET
@page
def container_processes(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "processes")
    action_require(actor, "instance.processes", instance.project_id)
    try:
        context["top"] = container_top(actor, instance_id, arguments=_COLUMNS)
    except ComputeError as error:
        context["message"] = error.message
    part = request.GET.get("part") == "body"
    template = "_container_processes" if part else "container_processes"
    return render(request, f"dockerapp/{template}.html", context)


@require_GET
@page
def container_files_changed(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "changes")
    action_require(actor, "instance.changes", instance.project_id)
    try:
        context["changes"] = container_changes(actor, instance_id)
    except ComputeError as error:
        context["message"] = error.message
    return render(request, "dockerapp/container_changes.html", context)


@require_POST
@page
def container_to_image(request: HttpRequest, instance_id: str) -> HttpResponse:
    repository, _colon, tag = request.POST.get("reference", "").strip().rpartition(":")
    if not repository or "/" in tag:
        repository, tag = request.POST.get("reference", "").strip(), "latest"
    message = request.POST.get("message", "")
    body = {"repo": repository, "tag": tag, "message": message, "pause": bool(request.POST.get("pause"))}
    operation = container_commit(actor_of(request), instance_id, "", body)
    return toast(
        _("%(instance_name)s: writing the image %(repository)s:%(tag)s …")
        % {"instance_name": operation.instance_name, "repository": repository, "tag": tag},
        "info",
    )


@require_http_methods(["GET", "POST"])
@page
def container_edit(request: HttpRequest, instance_id: str) -> HttpResponse:
    """Other settings: first what would change, then, confirmed, a container of them in its place."""
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "configuration")
    action_require(actor, "instance.recreate", instance.project_id)
    form = EditForm(
        instance.backend, request.POST if request.method == "POST" else None, initial=_now(instance)
    )
    context |= {"form": form, "message": ""}
    if form.is_bound and form.is_valid():
        changes = form.changes()
        try:
            if not changes:
                raise InvalidInput(_("Nothing is different, so there is nothing to recreate it for."))
            if request.POST.get("step") == "apply":
                name_confirm(request, instance.name)
                container_recreate(actor, instance_id, "", changes)
                return redirect("instance", instance_id=instance_id)
            context["diff"] = _diff(instance, changes)
        except ComputeError as error:
            context["message"] = form.complain(error)
    return render(request, "dockerapp/container_edit.html", context)


def _now(instance: Instance) -> dict[str, Any]:
    limits = {"cpu_cores": instance.cpu_cores, "memory_bytes": instance.memory_bytes}
    return initial_of(instance.name, config_opened(instance.config), limits)


def _diff(instance: Instance, changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Each key that changes, before and after, secrets masked; limits beside them."""
    rows = []
    before, after = config_masked(instance.config), config_masked(changes.get("config", {}))
    for key in sorted(after):
        rows.append({"key": key, "before": {key: before.get(key)}, "after": {key: after[key]}})
    for key, value in sorted(changes.get("resources", {}).items()):
        now = {"cpu": instance.cpu_cores, "memory": instance.memory_bytes}[key]
        rows.append({"key": key, "before": {key: now}, "after": value})
    return rows
