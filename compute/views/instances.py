"""The form and the page of instances."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.backends.capabilities import ACTION_CAPABILITIES, Capability
from compute.backends.registry import backend_names, backend_problem
from compute.errors import ComputeError, InstanceNotFound, InvalidInput
from compute.forms import CreateForm, LimitsForm, form_class
from compute.models import Instance, Node
from compute.permissions import holds
from compute.selectors.access import action_require, permissions_by_project, permissions_in
from compute.selectors.events import events_page
from compute.selectors.instances import instance_dict, instance_get
from compute.selectors.operations import OperationFilter, operation_log, operations_page
from compute.services import catalogue
from compute.services.instances import (
    instance_act,
    instance_create,
    instance_create_check,
    instance_delete,
    instance_update,
)
from compute.services.migration import migrate_targets
from compute.services.screenshots import FRESH_S, screenshot_png
from compute.states import ALLOWED_FROM, Action, InstanceState, Permission
from compute.views.api_line import ApiCall, form_look, is_look
from compute.views.bulk import bulk_can
from compute.views.common import actor_of, coloured, gone, name_confirm, number, page, toast
from compute.views.instance_look import addresses, advice, engine_words, losses_of_delete
from compute.views.tabs import instance_tabs
from compute.views.things import projects_with
from compute.wording import word_text

_BUTTONS = (Action.START, Action.STOP, Action.RESTART, Action.PAUSE, Action.UNPAUSE, Action.RESET)
# A button that would change nothing is not shown.
_POINTLESS = {
    Action.START: {InstanceState.RUNNING, InstanceState.PAUSED},
    Action.STOP: {InstanceState.STOPPED, InstanceState.CREATED, InstanceState.ERROR},
    Action.RESTART: {InstanceState.STOPPED, InstanceState.CREATED, InstanceState.PAUSED, InstanceState.ERROR},
    Action.PAUSE: {InstanceState.PAUSED},
    Action.UNPAUSE: {InstanceState.RUNNING},
}

# Of an operation that is under way, below its progress.
_LOG_LINES = 6
# What a browser or its system keeps for itself: names of X11 keysyms, and what a person calls them.
_SCREEN_KEYS = [
    *((f"Control_L Alt_L F{number}", f"Ctrl-Alt-F{number}") for number in range(1, 8)),
    ("Control_L Alt_L BackSpace", "Ctrl-Alt-Backspace"),
    ("Alt_L Tab", "Alt-Tab"),
    ("Alt_L F4", "Alt-F4"),
    ("Super_L", "Super"),
    ("Escape", "Esc"),
    ("Tab", "Tab"),
    ("Print", "Print Screen"),
]


def row_for_page(
    row: dict[str, Any], allowed: frozenset[Permission], capabilities: list[str]
) -> dict[str, Any]:
    """An instance with what a person with these permissions may press on it."""
    state, free = InstanceState(row["state"]), not row["active_operation"] and not row["stale"]
    row["actions"] = [
        str(action)
        for action in _BUTTONS
        if free
        and holds(allowed, f"instance.{action}")
        and state in ALLOWED_FROM[action]
        and state not in _POINTLESS.get(action, set())
        and str(ACTION_CAPABILITIES.get(action, "")) in ("", *capabilities)
    ]
    row["delete_allowed"] = holds(allowed, "instance.delete")
    row["may_delete"] = free and row["delete_allowed"]
    row["may_console"] = holds(allowed, "instance.console")
    row["may_update"] = holds(allowed, "instance.update")
    row["may_export"] = holds(allowed, "instance.export")
    row["capabilities"] = capabilities
    row["bulk_can"] = bulk_can(row, free)
    row["has_picture"] = (
        row["may_console"]
        and str(Capability.SCREENSHOT) in capabilities
        and state in (InstanceState.RUNNING, InstanceState.PAUSED)
        and row["config"].get("graphics") not in (None, "", "none")
    )
    row["colour"] = "orange" if row["stale"] else state.colour
    # An engine tells a port once for each of its addresses.
    row["published"] = sorted(
        {(port["host_port"], port["port"]) for port in row["ports"] if port["host_port"]}
    )
    return row


def rows_for_page(actor: Actor, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``row_for_page`` for many: nodes and rights are read once."""
    capabilities = {str(pk): words for pk, words in Node.objects.values_list("pk", "capabilities")}
    allowed = permissions_by_project(actor, (row["project"]["id"] for row in found))
    for row in found:
        row_for_page(row, allowed[row["project"]["id"]], capabilities.get(row["node"]["id"], []))
        if actor.is_admin and not row["managed"]:
            row["bulk_can"] = f"{row['bulk_can']} adopt".strip()
    return found


def may_migrate(row: dict[str, Any]) -> bool:
    """Whether its row says that it may move to another node now."""
    is_free = not row["active_operation"] and not row["stale"] and row["may_update"]
    can = str(Capability.MIGRATE) in row["capabilities"]
    return is_free and can and InstanceState(row["state"]) in ALLOWED_FROM[Action.MIGRATE]


@require_http_methods(["GET", "POST"])
@page
def instance_new(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    backend = request.POST.get("backend") or request.GET.get("backend") or _default_backend()
    data = request.POST if request.method == "POST" else None
    projects, choices = projects_with(actor, "instance.create"), catalogue.choices(actor, backend)
    initial = None if data else {"image": _usual_image(actor, backend, choices), **_asked_for(request)}
    form = form_class(backend)(backend, data, initial=initial, projects=projects)
    message = ""
    if is_look(request):
        check = partial(_create_check, actor, form)
        return form_look(form, lambda: ApiCall("/compute/instances", vars(form.body())), check)
    if request.method == "POST" and form.is_valid():
        try:
            operation = instance_create(actor, form.body())
            return redirect("instance", instance_id=operation.instance_uid)
        except ComputeError as error:
            message = form.complain(error)
    context = {
        "form": form,
        "backend": backend,
        "message": message,
        "backends": [{"name": name, "problem": backend_problem(name)} for name in backend_names()],
        "choices": choices,
    }
    return render(request, "compute/instance_new.html", context)


def _create_check(actor: Actor, form: CreateForm) -> None:
    instance_create_check(actor, form.body())


def _usual_image(actor: Actor, backend: str, choices: dict[str, Any]) -> str:
    """What one took last, if it is there; else the demo image; else the first: a name is then all to type."""
    names = [image.name for image in choices["images"]]
    own = Instance.objects.filter(created_by_id=actor.user_id, backend=backend, image__in=names)
    last = own.order_by("-created_at").values_list("image", flat=True).first()
    demo = next((name for name in names if name.startswith(("libgo/demo", "libgo-demo"))), None)
    return last or demo or next(iter(names), "")


def _asked_for(request: HttpRequest) -> dict[str, Any]:
    """First values from a link, such as “Run” beside an image."""
    return {name: request.GET[name][:255] for name in ("image", "node", "network") if request.GET.get(name)}


def _default_backend() -> str:
    usable = [name for name in backend_names() if not backend_problem(name)]
    return "docker" if "docker" in usable or not usable else usable[0]


def instance_context(actor: Actor, instance_id: str | uuid.UUID, tab: str) -> tuple[Instance, dict[str, Any]]:
    """What every page about one instance shows: ``row``, its ``tabs``, and the one that is open."""
    instance = instance_get(actor, instance_id)
    allowed = permissions_in(actor, instance.project_id)
    row = row_for_page(instance_dict(instance), allowed, instance.node.capabilities)
    row["adopted_at"], row["said"] = instance.adopted_at, engine_words(row)
    row["may_migrate"] = may_migrate(row) and bool(migrate_targets(instance))
    everything = instance_tabs(row)
    tabs = [item for item in everything if item.place == "tabs"]
    known = tab if tab in {item.name for item in tabs} else "overview"
    links = [item for item in everything if item.place == "configuration"]
    return instance, {"row": row, "tab": known, "tabs": tabs, "configuration_links": links}


@require_GET
@page
def instance_detail(request: HttpRequest, instance_id: str, tab: str = "overview") -> HttpResponse:
    actor = actor_of(request)
    try:
        instance, context = instance_context(actor, instance_id, tab)
    except InstanceNotFound:
        return _never_made(request, actor, instance_id)
    context["advice"] = advice(context["row"])
    if request.GET.get("part") == "head":
        return render(request, "compute/_instance_head.html", {**context, "log": _log_of(actor, context)})
    if context["tab"] == "events":
        context["events"] = events_page(actor, instance=instance.pk, limit=100, newest_first=True)
    if context["tab"] in ("overview", "events"):
        size = 6 if context["tab"] == "overview" else 50
        wanted = OperationFilter(instance=str(instance.pk), page_size=size)
        context["operations"] = coloured(operations_page(actor, wanted).items)
    if context["tab"] == "overview":
        context["events"] = events_page(
            actor, type="instance", instance=instance.pk, limit=8, newest_first=True
        )
        context["addresses"] = addresses(context["row"])
    if context["tab"] == "usage":
        context["usage_url"] = f"/api/v1/compute/instances/{instance.pk}/usage/history"
    if context["tab"] == "screen":
        context["screen_keys"] = _SCREEN_KEYS
    if request.headers.get("HX-Request") and request.GET.get("part") == "tab":
        return render(request, f"compute/_tab_{context['tab']}.html", context)
    context["log"] = _log_of(actor, context)
    return render(request, "compute/instance_detail.html", context)


def _log_of(actor: Actor, context: dict[str, Any]) -> list[dict[str, Any]]:
    """The last lines of what is under way."""
    active = context["row"]["active_operation"]
    return operation_log(actor, active["id"])[-_LOG_LINES:] if active else []


def _never_made(request: HttpRequest, actor: Actor, instance_id: str) -> HttpResponse:
    """Whose making failed is gone; why, its operation tells. Raises ``InstanceNotFound`` else."""
    wanted = OperationFilter(instance=str(instance_id), action="instance.create", state="failed", page_size=1)
    found = operations_page(actor, wanted).items
    if not found:
        raise InstanceNotFound(
            _("There is no instance “%(instance_id)s”.") % {"instance_id": instance_id},
            instance=str(instance_id),
        )
    return gone(request, reverse("operation", args=[found[0]["id"]]))


@require_GET
@page
def instance_picture(request: HttpRequest, instance_id: str) -> HttpResponse:
    """What the screen shows, small; the browser keeps it for a moment, so a list that is drawn again
    asks nobody."""
    actor = actor_of(request)
    action_require(actor, "instance.screen", instance_get(actor, instance_id).project_id)
    try:
        picture = screenshot_png(actor, instance_id, number(request.GET.get("width"), 160))
    except ComputeError:
        # It went off between the page and its picture: then there is none.
        return HttpResponse(status=204)
    headers = {"Cache-Control": f"private, max-age={FRESH_S[True]:.0f}"}
    return HttpResponse(picture, content_type="image/png", headers=headers)


@require_POST
@page
def instance_action(request: HttpRequest, instance_id: str, action: str) -> HttpResponse:
    """One button. The row changes by itself when the fact arrives."""
    try:
        wanted = Action(action)
    except ValueError as error:
        raise InvalidInput.field("action", "is not known.") from error
    options = {"force": True} if wanted is Action.STOP and request.POST.get("force") else {}
    operation = instance_act(actor_of(request), instance_id, wanted, options)
    if operation is None:
        return toast(_("It already is so; nothing was changed."), "info")
    return toast(f"{operation.instance_name}: {word_text(wanted.progressive)} …", "info")


@require_POST
@page
def instance_limits(request: HttpRequest, instance_id: str) -> HttpResponse:
    """New limits; what needs a restart shows up as pending."""
    operation = instance_update(actor_of(request), instance_id, LimitsForm(request.POST).changes())
    if operation is None:
        return toast(_("Nothing was filled in, so nothing was changed."), "info")
    return toast(
        _("%(instance_name)s: changing its limits …") % {"instance_name": operation.instance_name}, "info"
    )


@require_POST
@page
def instance_rename(request: HttpRequest, instance_id: str) -> HttpResponse:
    operation = instance_update(actor_of(request), instance_id, {"name": request.POST.get("name", "")})
    if operation is None:
        return toast(_("It has this name already."), "info")
    return toast(_("%(instance_name)s: renaming it …") % {"instance_name": operation.instance_name}, "info")


@require_http_methods(["GET", "POST"])
@page
def instance_remove(request: HttpRequest, instance_id: str) -> HttpResponse:
    """The dialog says what is lost and what stays, and asks for the name."""
    actor = actor_of(request)
    if request.method == "GET":
        instance, context = instance_context(actor, instance_id, "overview")
        context["losses"] = losses_of_delete(actor, instance, context["row"])
        if not request.headers.get("HX-Request"):
            return render(request, "compute/instance_delete.html", {**context, "alone": True})
        return render(request, "compute/_instance_delete.html", context)
    instance = instance_get(actor, instance_id)
    action_require(actor, "instance.delete", instance.project_id)
    name_confirm(request, instance.name)
    keep = bool(request.POST.get("keep_storage"))
    operation = instance_delete(actor, instance_id, force=True, keep_storage=keep)
    if not request.headers.get("HX-Request"):
        return redirect("operation", operation.id)
    return toast(_("%(instance_name)s: deleting …") % {"instance_name": operation.instance_name}, "info")
