"""The pages of templates."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.backends.registry import backend_names
from compute.errors import ComputeError
from compute.models import Instance, Template
from compute.selectors.access import action_allowed, action_require
from compute.selectors.instances import instance_get
from compute.selectors.nodes import backend_node_names
from compute.selectors.templates import TemplateFilter, template_full, template_get, templates_page
from compute.services import templates
from compute.template_forms import SITE, TemplateForm, UseForm
from compute.views.api_line import ApiCall, form_look, is_look
from compute.views.common import actor_of, number, page_of
from compute.views.things import projects_with

_page = page_of("templates")
_EXAMPLE = {
    "config": {"image": "nginx:alpine", "env": {"GREETING": "${greeting}"}},
    "resources": {"memory": {"limit": "${memory}"}},
}
_PARAMETERS = [
    {"name": "greeting", "default": "hello"},
    {"name": "memory", "type": "size", "default": "128MiB"},
]


@require_GET
@_page
def template_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    wanted = TemplateFilter(
        q=request.GET.get("q", "").replace("\x00", "")[:100],
        page=max(1, number(request.GET.get("page"), 1)),
        page_size=25,
    )
    found = templates_page(actor, wanted)
    context = {"found": found, "q": wanted.q, "may_create": bool(_homes(actor))}
    return render(request, "compute/template_list.html", context)


@require_GET
@_page
def template_detail(request: HttpRequest, template_id: str) -> HttpResponse:
    return _detail(request, template_id, None, "")


@require_POST
@_page
def template_use(request: HttpRequest, template_id: str) -> HttpResponse:
    """The form that is made of its parameters."""
    actor, message = actor_of(request), ""
    row = template_get(actor, template_id)
    shown, projects = template_full(actor, row, _version(request.POST)), _projects(actor, row)
    if not projects:
        action_require(actor, "template.use", row.project_id)
    form = UseForm(shown["parameters"], projects, request.POST)
    if is_look(request):
        path = f"/compute/templates/{row.pk}/instantiate"
        return form_look(form, lambda: ApiCall(path, form.given()))
    if form.is_valid():
        try:
            operation = templates.template_instantiate(actor, template_id, form.given())
            return redirect("operation", operation_id=operation.pk)
        except ComputeError as error:
            message = form.complain(error)
    return _detail(request, template_id, form, message)


@require_http_methods(["GET", "POST"])
@_page
def template_new(request: HttpRequest) -> HttpResponse:
    """By hand, or of the instance that the address names."""
    actor, message = actor_of(request), ""
    source = _source(actor, request.GET.get("instance", ""))
    without = ("comment",) if source is None else ("comment", "backend", "body", "parameters")
    initial: dict[str, Any] = {"body": _EXAMPLE, "parameters": _PARAMETERS}
    if source is not None:
        initial = {"name": f"{source.name}-template", "project": source.project.name}
    data = request.POST if request.method == "POST" else None
    form = TemplateForm(_homes(actor), backend_names(), data, initial=initial, without=without)
    more = {} if source is None else {"instance": str(source.pk)}
    if is_look(request):
        return form_look(form, lambda: ApiCall("/compute/templates", {**form.given(), **more}))
    if data is not None and form.is_valid():
        try:
            row = templates.template_create(actor, {**form.given(), **more})
            return redirect("template", template_id=row.pk)
        except ComputeError as error:
            message = form.complain(error)
    context = {"form": form, "message": message, "source": source}
    return render(request, "compute/template_form.html", context)


@require_http_methods(["GET", "POST"])
@_page
def template_edit(request: HttpRequest, template_id: str) -> HttpResponse:
    actor, message = actor_of(request), ""
    row = template_get(actor, template_id)
    action_require(actor, "template.update", row.project_id)
    # An older one that is opened and saved is the newest again.
    shown = template_full(actor, row, _version(request.GET))
    data = request.POST if request.method == "POST" else None
    form = TemplateForm([], [], data, initial=shown, without=("project", "backend"))
    if data is not None and form.is_valid():
        try:
            templates.template_update(actor, template_id, form.given())
            return redirect("template", template_id=template_id)
        except ComputeError as error:
            message = form.complain(error)
    return render(request, "compute/template_form.html", {"form": form, "message": message, "row": shown})


@require_POST
@_page
def template_remove(request: HttpRequest, template_id: str) -> HttpResponse:
    templates.template_delete(actor_of(request), template_id)
    return redirect("templates")


def _detail(request: HttpRequest, template_id: str, form: UseForm | None, message: str) -> HttpResponse:
    actor = actor_of(request)
    row = template_get(actor, template_id)
    shown = template_full(actor, row, _version(request.POST if form else request.GET))
    project_id = row.project_id
    projects, is_newest = _projects(actor, row), shown["shown_version"] == row.version
    older = None if is_newest else shown["shown_version"]
    context = {
        "row": shown,
        "form": form or UseForm(shown["parameters"], projects, version=older),
        "message": message,
        "may_use": bool(projects),
        "may_update": action_allowed(actor, "template.update", project_id),
        "may_delete": action_allowed(actor, "template.delete", project_id),
        "is_newest": is_newest,
        "nodes": backend_node_names(row.backend),
    }
    return render(request, "compute/template_detail.html", context)


def _version(given: QueryDict) -> int | None:
    """None is the newest."""
    return number(given.get("version"), 0) or None


def _projects(actor: Actor, row: Template) -> list[str]:
    """Where it may be used, its own project first."""
    projects = projects_with(actor, "template.use")
    own = [name for name in projects if row.project and name == row.project.name]
    return own + [name for name in projects if name not in own]


def _homes(actor: Actor) -> list[str]:
    """Where the actor may keep one; the site last, for administrators."""
    homes = projects_with(actor, "template.create")
    return [*homes, SITE] if actor.is_admin else homes


def _source(actor: Actor, wanted: str) -> Instance | None:
    return instance_get(actor, wanted[:100]) if wanted else None
