"""Pages that look into files: the tab of a container, the page of a volume."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from compute.selectors.access import permission_require
from compute.states import Permission
from compute.views.common import actor_of, page
from compute.views.instances import instance_context


@require_GET
@page
def container_files(request: HttpRequest, instance_id: str) -> HttpResponse:
    actor = actor_of(request)
    instance, context = instance_context(actor, instance_id, "files")
    permission_require(actor, Permission.EXPORT, instance.project_id)
    return render(
        request, "dockerapp/container_files.html", {**context, **_browser("containers", instance.pk)}
    )


def _browser(noun: str, uid: Any) -> dict[str, Any]:
    """Where the script of the page finds its files."""
    base = f"/api/v1/docker/{noun}/{uid}"
    return {
        "files_url": f"{base}/files",
        "archive_url": f"{base}/archive",
        "files_query": "",
        "may_write": True,
    }
