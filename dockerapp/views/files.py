"""Pages that look into files: the tab of a container, the page of a volume."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from compute.selectors.access import action_require
from compute.views.common import actor_of, page, page_of
from compute.views.instances import instance_context
from dockerapp.selectors.volumes import volume_row


@require_GET
@page
def container_files(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "files")
    action_require(actor, "instance.files", instance.project_id)
    return render(
        request, "dockerapp/container_files.html", {**context, **_browser("containers", instance.pk)}
    )


@require_GET
@page_of("docker_volumes")
def volume_files(request: HttpRequest, volume_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = volume_row(actor, volume_id)
    action_require(actor, "volume.content", row.project_id)
    context = {"row": row, **_browser("volumes", row.pk)}
    return render(request, "dockerapp/volume_files.html", context)


def _browser(noun: str, uid: Any) -> dict[str, Any]:
    """Where the script of the page finds its files."""
    base = f"/api/v1/docker/{noun}/{uid}"
    return {
        "files_url": f"{base}/files",
        "archive_url": f"{base}/archive",
        "files_query": "",
        "may_write": True,
    }
