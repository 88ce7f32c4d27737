"""The list of stacks, the editor, and the page of one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.errors import ComputeError, InvalidInput, NotFound
from compute.models import Node, Operation, Project
from compute.permissions import holds
from compute.sealing import unseal
from compute.selectors.access import action_allowed, action_require, permissions_in, visible
from compute.selectors.masking import MASK
from compute.selectors.operations import OperationFilter, operation_get, operations_page
from compute.selectors.page import PAGE_SIZE_MAX
from compute.states import InstanceState, OperationState, colour_of
from compute.views.common import actor_of, number, page_of, toast
from compute.wording import word_text
from dockerapp.models import IS_THERE, Stack
from dockerapp.selectors.nodes import BACKEND
from dockerapp.selectors.stacks import (
    Found,
    StackFilter,
    stack_detail,
    stack_get,
    stacks_page,
)
from dockerapp.services import stacks

_page = page_of("docker_stacks")
_TABS = ("services", "logs", "file", "operations")
_SHADES = ("azure", "green", "orange", "pink", "cyan", "purple", "lime", "yellow", "teal")
_EXAMPLE = """services:
  web:
    image: nginx:1.27
    ports:
      - "8080:80"
    depends_on:
      cache:
        condition: service_healthy
  cache:
    image: redis:7
    volumes:
      - data:/data
    healthcheck:
      test: redis-cli ping
      interval: 5s
volumes:
  data:
"""


@require_GET
@_page
def stack_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    wanted = StackFilter(
        q=request.GET.get("q", "")[:200],
        node=request.GET.get("node", ""),
        sort=[request.GET["sort"]] if request.GET.get("sort") else [],
        page=max(1, number(request.GET.get("page"), 1)),
        page_size=25,
    )
    found = stacks_page(actor, wanted)
    nodes = list(Node.objects.filter(backend=BACKEND).order_by("name").values_list("name", flat=True))
    kept = request.GET.copy()
    kept.pop("page", None)
    context = {
        "found": found,
        "rows": [_coloured(row) for row in found.items],
        "wanted": wanted,
        "nodes": nodes,
        "filtered": bool(wanted.q or wanted.node),
        "sort": (wanted.sort or ["name"])[0],
        "query": kept.urlencode(),
        "full_query": request.GET.urlencode(),
        "may_create": bool(_projects(actor)),
    }
    template = "_stack_table" if request.headers.get("HX-Request") else "stack_list"
    return render(request, f"dockerapp/{template}.html", context)


@require_http_methods(["GET", "POST"])
@_page
def stack_new(request: HttpRequest) -> HttpResponse:
    """The editor; what is wrong stands beside it and the input stays."""
    actor = actor_of(request)
    given: dict[str, Any] = {key: request.POST.get(key, "") for key in ("name", "project", "node", "env")}
    given["compose"] = request.POST.get("compose", "")
    message, problems = "", []
    if request.method == "POST":
        try:
            operation = stacks.stack_create(actor, _body(given))
            return redirect("operation", operation_id=operation.pk)
        except ComputeError as error:
            message, problems = error.message, error.details.get("problems", [])
    else:
        given.update(_earlier(actor, request.GET.get("from", "")))
    context = {
        "given": given,
        "message": message,
        "problems": problems,
        "example": _EXAMPLE,
        "projects": _projects(actor),
        "nodes": list(Node.objects.filter(backend=BACKEND, is_enabled=True).order_by("-is_local", "name")),
    }
    return render(request, "dockerapp/stack_new.html", context)


@require_POST
@_page
def stack_check(request: HttpRequest) -> HttpResponse:
    """What the editor shows while one types: for a new stack, or (``stack``) for a change of one."""
    actor, given = actor_of(request), request.POST
    if not given.get("compose", "").strip():
        return render(request, "dockerapp/_stack_verdict.html", {"empty": True})
    try:
        if given.get("stack"):
            body: dict[str, Any] = {"compose": given["compose"], "env": given.get("env", "")}
            verdict = stacks.stack_validate(actor, body, name=given["stack"]).shown()
        else:
            body = _body({key: given.get(key, "") for key in ("name", "project", "node", "env", "compose")})
            verdict = stacks.stack_validate(actor, body).shown()
    except ComputeError as error:
        verdict = {"valid": False, "problems": [{"reason": error.message, "level": "error"}], "services": []}
    return render(request, "dockerapp/_stack_verdict.html", {"verdict": verdict})


@require_GET
@_page
def stack_page(
    request: HttpRequest, stack_id: str = "", node_id: str = "", name: str = "", tab: str = "services"
) -> HttpResponse:
    """One stack: by its id, or by node and name when it was made outside."""
    actor = actor_of(request)
    found = stack_get(actor, str(stack_id) or name, str(node_id))
    context = _context(actor, found, tab)
    part = request.GET.get("part", "")
    if part in ("head", "change"):
        return render(request, f"dockerapp/_stack_{part}.html", context)
    if context["tab"] == "operations":
        context["operations"] = _operations(actor, found)
    if part == "tab":
        return render(request, f"dockerapp/_stack_tab_{context['tab']}.html", context)
    return render(request, "dockerapp/stack_detail.html", context)


@require_GET
@_page
def stack_of(request: HttpRequest, operation_id: str) -> HttpResponse:
    """From an operation to its stack, or back to the editor when nothing came of it."""
    actor = actor_of(request)
    operation = operation_get(actor, operation_id)
    row = visible(actor, Stack.objects.filter(IS_THERE, pk=operation.params.get("stack"))).first()
    if row is not None:
        return redirect("docker_stack", stack_id=row.pk)
    if operation.action == "stack.deploy":
        return redirect(f"{reverse('docker_stack_new')}?from={operation.pk}")
    return redirect("docker_stacks")


@require_POST
@_page
def stack_action(
    request: HttpRequest, action: str, stack_id: str = "", node_id: str = "", name: str = ""
) -> HttpResponse:
    """One button of the stack or of one of its services."""
    actor = actor_of(request)
    wanted, node = str(stack_id) or name, str(node_id)
    service = request.POST.get("service", "")
    operation = _act(actor, action, wanted, node, service, request.POST)
    what = f"{operation.target} {service}".strip()
    if request.POST.get("follow"):
        answer = HttpResponse(status=204)
        answer["HX-Redirect"] = reverse("operation", args=[operation.pk])
        return answer
    return toast(f"{what}: {word_text(operation.action)} …", "info")


def _act(
    actor: Actor, action: str, wanted: str, node: str, service: str, given: Mapping[str, Any]
) -> Operation:
    if action in stacks.VERBS:
        return stacks.stack_act(actor, wanted, action, service=service, node=node)
    if action == "scale":
        replicas = number(given.get("replicas"), -1)
        return stacks.stack_scale(actor, wanted, service, replicas, node=node)
    if action == "redeploy":
        options = {"pull": bool(given.get("pull")), "recreate": bool(given.get("recreate"))}
        return stacks.stack_update(actor, wanted, {}, node=node, options=options)
    if action == "change":
        body = {"compose": given.get("compose", ""), "env": given.get("env", "")}
        return stacks.stack_update(actor, wanted, body, node=node)
    if action == "remove":
        return stacks.stack_delete(actor, wanted, volumes=bool(given.get("volumes")), node=node)
    raise InvalidInput.field("action", "is not known.")


@require_POST
@_page
def stack_diff(request: HttpRequest, stack_id: str) -> HttpResponse:
    """What a change would change, and whether it may be deployed."""
    actor = actor_of(request)
    found = stack_get(actor, str(stack_id))
    action_require(actor, "stack.update", found.project.pk)
    shown = stack_detail(actor, found)
    if shown["compose"] is None:
        raise NotFound(_("There is nothing to change here."))
    compose, env = request.POST.get("compose", ""), request.POST.get("env", "")
    lines = [
        *_diff(shown["compose"], compose, _("compose file")),
        *_diff(env_lines(shown["env"]), env.strip("\n"), "variables"),
    ]
    try:
        given = {"compose": compose, "env": env}
        verdict = stacks.stack_validate(actor, given, name=str(stack_id)).shown()
    except ComputeError as error:
        verdict = {"valid": False, "problems": [{"reason": error.message, "level": "error"}], "services": []}
    context = {"lines": lines, "verdict": verdict, "stack": shown}
    return render(request, "dockerapp/_stack_diff.html", context)


def env_lines(env: Mapping[str, str]) -> str:
    """Variables as the editor has them. A value of several lines is shown as asterisks, which keep it."""
    return "\n".join(f"{name}={_shown(value)}" for name, value in env.items())


def _shown(value: str) -> str:
    if "\n" in value:
        return MASK
    return f'"{value}"' if value != value.strip() or value[:1] in ("'", '"') else value


def _diff(before: str, after: str, title: str) -> list[dict[str, str]]:
    words = {"+": "add", "-": "del", "@": "at"}
    found = difflib.unified_diff(
        before.replace("\r\n", "\n").splitlines(), after.replace("\r\n", "\n").splitlines(), lineterm="", n=3
    )
    lines = [{"kind": words.get(line[:1], ""), "text": line} for line in list(found)[2:]]
    return [{"kind": "at", "text": f"── {title}"}, *lines] if lines else []


def _context(actor: Actor, found: Found, tab: str) -> dict[str, Any]:
    allowed = permissions_in(actor, found.project.pk)
    row = _coloured(stack_detail(actor, found))
    free = row["active_operation"] is None and found.node.is_reachable
    tabs = [name for name in _TABS if found.is_managed or name in ("services", "logs")]
    if not holds(allowed, "stack.logs"):
        tabs.remove("logs")
    if row["compose"] is None and "file" in tabs:
        tabs.remove("file")
    shade = {service["name"]: _SHADES[n % len(_SHADES)] for n, service in enumerate(row["services"])}
    for service in row["services"]:
        service["shade"] = shade[service["name"]]
    return {
        "row": row,
        "tab": tab if tab in tabs else "services",
        "tabs": tabs,
        "free": free,
        "may": {verb: holds(allowed, f"stack.{verb}") for verb in ("start", "stop", "update", "delete")},
        "env": env_lines(row["env"] or {}),
        "base": _base(found),
        "is_admin": actor.is_admin,
    }


def _base(found: Found) -> str:
    """The address of its page."""
    if found.row is not None:
        return reverse("docker_stack", args=[found.row.pk])
    return reverse("docker_stack_outside", args=[found.node.pk, found.name])


def _coloured(row: dict[str, Any]) -> dict[str, Any]:
    row["colour"] = colour_of("stack", row["state"])
    if row["id"]:
        row["url"] = reverse("docker_stack", args=[row["id"]])
    else:
        row["url"] = reverse("docker_stack_outside", args=[row["node"]["id"], row["name"]])
    for service in row["services"]:
        service["colour"] = colour_of("stack", service["state"])
        for instance in service["instances"]:
            instance["colour"] = InstanceState(instance["state"]).colour
    return row


def _operations(actor: Actor, found: Found) -> list[dict[str, Any]]:
    wanted = OperationFilter(target=found.name, page_size=50)
    rows = operations_page(actor, wanted).items
    node = str(found.node.pk)
    shown = [row for row in rows if row["action"].startswith("stack.") and row["node"] == node]
    for row in shown:
        row["colour"] = OperationState(row["state"]).colour
    return shown


def _body(given: Mapping[str, Any]) -> dict[str, Any]:
    """A request as the API has it: what was left empty is not given."""
    kept = {key: given[key] for key in ("name", "project", "node") if given.get(key)}
    return {**kept, "compose": given.get("compose", ""), "env": given.get("env", "")}


def _projects(actor: Actor) -> list[Project]:
    """Where this person may deploy."""
    rows = visible(actor, Project.objects.order_by("-is_default", "name"), "pk")[:PAGE_SIZE_MAX]
    return [row for row in rows if action_allowed(actor, "stack.create", row.pk)]


def _earlier(actor: Actor, operation_id: str) -> dict[str, Any]:
    """What was asked for by a deployment of which nothing stayed; its variables are not shown again."""
    if not operation_id:
        return {}
    operation = operation_get(actor, operation_id)
    may = action_allowed(actor, "stack.create", operation.project_id)
    if operation.action != "stack.deploy" or not may:
        return {}
    return {"name": operation.target, "compose": unseal(operation.params.get("compose", "")) or ""}
