"""The pages of images: list, detail, and the dialogs that pull, push, tag, load and prune."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from compute.actor import Actor
from compute.errors import BackendError, BackendTimeout, BackendUnavailable
from compute.models import Node, Operation
from compute.selectors.operations import operation_dict, operation_get, operation_log
from compute.selectors.resources import ResourceFilter
from compute.services.projects import projects_list
from compute.states import OperationState
from compute.views.common import actor_of, number, page, toast
from compute.wording import later
from dockerapp.selectors.images import KIND, image_dict, image_get, images_page
from dockerapp.selectors.nodes import BACKEND
from dockerapp.selectors.registries import registries_page
from dockerapp.services import images
from dockerapp.services.images import BuildWish, Place
from dockerapp.views.lists import may_anywhere, sort_of

_USE = {"used": {"in_use": True}, "unused": {"in_use": False}, "dangling": {"dangling": True}}
_SORTS = ("name", "size", "created_at", "node", "used_by")
_LINES = 200
BULK = [
    {
        "word": "remove",
        "label": later("Remove"),
        "method": "DELETE",
        "url": "/api/v1/docker/images/{id}?wait=0",
        "title": later("Remove the chosen images ({n})?"),
        "text": later(
            "Their layers go with them, as far as no other image has them. What a container uses stays."
        ),
        "danger": "1",
    }
]


def _place(request: HttpRequest) -> Place:
    given = request.POST if request.method == "POST" else request.GET
    return Place(given.get("node", "")[:100], given.get("project") or None)


@require_GET
@page
def image_list(request: HttpRequest) -> HttpResponse:
    actor, given = actor_of(request), request.GET
    use = given.get("use", "")
    wanted = ResourceFilter(
        KIND,
        q=given.get("q", "").replace("\x00", "")[:100],
        node=given.get("node", "")[:100],
        sort=sort_of(request, _SORTS),
        page=max(1, number(given.get("page"), 1)),
        page_size=25,
    )
    found = images_page(actor, wanted, **_USE.get(use, {}))
    query, sort_query = given.copy(), given.copy()
    query.pop("page", None)
    for name in ("page", "sort"):
        sort_query.pop(name, None)
    context = {
        "rows": found.items,
        "found": found,
        "wanted": wanted,
        "use": use,
        "sort": given.get("sort", "name"),
        "query": query.urlencode(),
        "sort_query": sort_query.urlencode(),
        "full_query": given.urlencode(),
        "nodes": _nodes(),
        "filtered": bool(wanted.q or wanted.node or use),
        "is_admin": actor.is_admin,
        "may_create": may_anywhere(actor, "image.pull"),
        "bulk_actions": BULK,
    }
    is_fragment = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return render(request, f"dockerapp/{'_image_table' if is_fragment else 'image_list'}.html", context)


@require_GET
@page
def image_detail(request: HttpRequest, image_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = image_get(actor, image_id)
    context: dict[str, Any] = {"row": image_dict(actor, row), "problem": "", **_permits(actor)}
    try:
        context |= {"details": images.image_details(row), "layers": images.image_history(row)}
    except (BackendError, BackendTimeout, BackendUnavailable) as error:
        context["problem"] = error.message
    is_fragment = request.headers.get("HX-Request") and request.GET.get("part") == "body"
    return render(request, f"dockerapp/{'_image' if is_fragment else 'image_detail'}.html", context)


@require_http_methods(["GET", "POST"])
@page
def image_pull(request: HttpRequest) -> HttpResponse:
    actor, given = actor_of(request), request.POST
    if request.method == "GET":
        context = {**_choices(actor), "registries": _registries(actor), "image": request.GET.get("image", "")}
        return render(request, "dockerapp/_image_pull.html", context)
    operation = images.image_pull(
        actor,
        _place(request),
        image=given.get("image", "").strip(),
        registry=given.get("registry", ""),
        platform=given.get("platform", "").strip(),
    )
    return _progress(request, actor, operation)


@require_http_methods(["GET", "POST"])
@page
def image_push(request: HttpRequest, image_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = image_get(actor, image_id)
    if request.method == "GET":
        context = {**_choices(actor), "row": image_dict(actor, row), "image": request.GET.get("image", "")}
        return render(request, "dockerapp/_image_push.html", context)
    place = Place(str(row.node_id), request.POST.get("project") or None)
    return _progress(
        request, actor, images.image_push(actor, place, image=request.POST.get("image", "").strip())
    )


@require_http_methods(["GET", "POST"])
@page
def image_tag(request: HttpRequest, image_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = image_get(actor, image_id)
    if request.method == "GET":
        context = {**_choices(actor), "row": image_dict(actor, row)}
        return render(request, "dockerapp/_image_tag.html", context)
    place = Place(str(row.node_id), request.POST.get("project") or None)
    operation = images.image_tag(actor, place, str(row.pk), repository=request.POST.get("name", "").strip())
    return toast(_("%(target)s: tagging …") % {"target": operation.target}, "info")


@require_http_methods(["GET", "POST"])
@page
def image_remove(request: HttpRequest, image_id: str) -> HttpResponse:
    """One name (``name``), or the whole image."""
    actor, given = actor_of(request), request.POST if request.method == "POST" else request.GET
    row, name = image_get(actor, image_id), given.get("name", "")
    if request.method == "GET":
        context = {"row": image_dict(actor, row), "name": name}
        return render(request, "dockerapp/_image_remove.html", context)
    operation = images.image_delete(
        actor, Place(str(row.node_id)), name or str(row.pk), force=bool(given.get("force"))
    )
    return toast(_("%(target)s: removing …") % {"target": operation.target}, "info")


@require_GET
@page
def image_load(request: HttpRequest) -> HttpResponse:
    return render(request, "dockerapp/_image_load.html", _choices(actor_of(request)))


@require_http_methods(["GET", "POST"])
@page
def image_prune(request: HttpRequest) -> HttpResponse:
    """Ask, look, then do: the first POST only looks."""
    actor, given = actor_of(request), request.POST
    if request.method == "GET":
        return render(request, "dockerapp/_image_prune.html", _choices(actor))
    operation = images.image_prune(
        actor, _place(request), unused=given.get("what") == "all", dry_run=not given.get("sure")
    )
    return _prune_shown(request, actor, operation)


@require_GET
@page
def image_prune_look(request: HttpRequest, operation_id: str) -> HttpResponse:
    actor = actor_of(request)
    return _prune_shown(request, actor, operation_get(actor, operation_id))


@require_http_methods(["GET", "POST"])
@page
def image_build(request: HttpRequest) -> HttpResponse:
    actor, given = actor_of(request), request.POST
    if request.method == "GET":
        return render(request, "dockerapp/image_build.html", {**_choices(actor), "is_admin": actor.is_admin})
    remote = given.get("remote", "").strip()
    wish = BuildWish(
        tag=given.get("tag", "").strip(),
        text=None if remote else given.get("text", "").replace("\r\n", "\n"),
        remote=remote,
        dockerfile=given.get("dockerfile", "").strip(),
        build_args=_pairs(given.get("build_args", "")),
        target=given.get("target", "").strip(),
        platform=given.get("platform", "").strip(),
        no_cache=bool(given.get("no_cache")),
        pull=bool(given.get("pull")),
    )
    operation = images.image_build(actor, _place(request), wish)
    response = HttpResponse(status=204)
    response["HX-Redirect"] = reverse("operation", args=[operation.pk])
    return response


@require_GET
@page
def image_progress(request: HttpRequest, operation_id: str) -> HttpResponse:
    actor = actor_of(request)
    return _progress(request, actor, operation_get(actor, operation_id), part=True)


def _progress(
    request: HttpRequest, actor: Actor, operation: Operation, *, part: bool = False
) -> HttpResponse:
    """A dialog that follows an operation; ``part``: only what changes in it."""
    row = operation_dict(operation)
    row["colour"] = OperationState(row["state"]).colour
    lines = operation_log(actor, operation.pk, limit=5000)[-_LINES:]
    template = "dockerapp/_image_progress_body.html" if part else "dockerapp/_image_progress.html"
    return render(request, template, {"operation": row, "lines": lines})


def _prune_shown(request: HttpRequest, actor: Actor, operation: Operation) -> HttpResponse:
    row = operation_dict(operation)
    row["colour"] = OperationState(row["state"]).colour
    what = "all" if operation.params.get("unused") else "dangling"
    context = {"operation": row, "what": what, "node": operation.node, "result": row["result"]}
    return render(request, "dockerapp/_image_prune_look.html", context)


def _permits(actor: Actor) -> dict[str, Any]:
    return {
        "is_admin": actor.is_admin,
        "may_create": may_anywhere(actor, "image.pull"),
        "may_export": may_anywhere(actor, "image.push"),
    }


def _choices(actor: Actor) -> dict[str, Any]:
    """For the selects of dialogs."""
    projects = projects_list(actor)
    default = next(
        (row["name"] for row in projects if row["is_default"]), projects[0]["name"] if projects else ""
    )
    return {
        "nodes": _nodes(),
        "projects": [row["name"] for row in projects],
        "default_project": default,
        "space": default.lower(),
        "is_admin": actor.is_admin,
    }


def _registries(actor: Actor) -> list[dict[str, Any]]:
    return registries_page(actor, sort=["name"], page=1, page_size=100).items


def _nodes() -> list[str]:
    rows = Node.objects.filter(backend=BACKEND, is_enabled=True).order_by("-is_local", "name")
    return list(rows.values_list("name", flat=True))


def _pairs(text: str) -> dict[str, str]:
    """``NAME=value`` lines; one without “=” is caught by the service."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return {name.strip(): value for name, _equals, value in (line.partition("=") for line in lines)}
