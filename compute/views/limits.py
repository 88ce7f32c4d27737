"""The page of limits, its dialogs, and the bars beside forms that ask for something."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from compute.actor import Actor
from compute.backends.types import Resources
from compute.complaints import complaints_text
from compute.errors import ComputeError
from compute.forms import GIB, MIB, Pairs
from compute.limit_forms import MaximumsForm, PlacementForm, SiteLimitsForm
from compute.models import Node
from compute.selectors.access import action_require
from compute.selectors.limits import MAXIMUMS, node_ratio, node_scope, site_rules, usage_of
from compute.selectors.nodes import node_get
from compute.services import limit_settings as settings
from compute.services.limits import Amounts, Claim, amount_bar, claim_shown, scope_bars
from compute.services.nodes import node_update
from compute.services.placement import nodes_fit
from compute.services.projects import project_for, project_get
from compute.views.common import actor_of, page, toast

_NUMBER_MAX = 2.0**40


@require_GET
@page
def limits(request: HttpRequest) -> HttpResponse:
    """All of them, with what is used."""
    found = settings.limits_overview(actor_of(request))
    for row in (found["site"], *found["projects"], *found["users"]):
        row["bars"] = bars_of(row)
    is_fragment = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return render(request, "compute/_limits.html" if is_fragment else "compute/limits.html", found)


@require_http_methods(["GET", "POST"])
@page
def site_limits_edit(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    action_require(actor, "site.limits")
    form = SiteLimitsForm(settings.site_limits_own(), _data(request))
    if form.is_bound and form.is_valid():
        settings.site_limits_set(actor, form.body())
        return _saved(_("The limits of the site are set."))
    hint = _("Empty: as the configuration says. The narrower of both holds.")
    return _dialog(request, form, _("Limits of the site"), hint)


@require_http_methods(["GET", "POST"])
@page
def project_limits_edit(request: HttpRequest, project_id: str) -> HttpResponse:
    actor = actor_of(request)
    project = project_get(actor, project_id)
    action_require(actor, "project.limits", project.pk)
    form = MaximumsForm(settings.project_limits_read(actor, project.pk), _data(request))
    if form.is_bound and form.is_valid():
        settings.project_limits_set(actor, project.pk, form.body())
        return _saved(_("The limits of %(name)s are set.") % {"name": project.name})
    hint = _("Of all instances and volumes in it. Empty: no limit. What is there already stays.")
    return _dialog(request, form, _("Limits of %(name)s") % {"name": project.name}, hint)


@require_http_methods(["GET", "POST"])
@page
def user_limits_edit(request: HttpRequest, user_id: str) -> HttpResponse:
    actor = actor_of(request)
    action_require(actor, "user.update")
    form = MaximumsForm(settings.user_limits_read(actor, user_id), _data(request))
    if form.is_bound and form.is_valid():
        settings.user_limits_set(actor, user_id, form.body())
        return _saved(_("The limits of this user are set."))
    hint = _("Of all that this user has created, in whatever project. Empty: no limit.")
    return _dialog(request, form, _("Limits of a user"), hint)


@require_http_methods(["GET", "POST"])
@page
def node_placement(request: HttpRequest, node_id: str) -> HttpResponse:
    """Its labels, and how often it may be given away."""
    actor = actor_of(request)
    action_require(actor, "node.update")
    node = node_get(actor, node_id)
    known = {name: getattr(node, name) for name in ("labels", "cpu_overcommit", "memory_overcommit")}
    form, message = PlacementForm(known, _data(request)), ""
    if form.is_bound and form.is_valid():
        try:
            node_update(actor, node.pk, form.body())
            return _saved(_("%(name)s is set.") % {"name": node.name})
        except ComputeError as error:
            message = complaints_text(error)
    return _dialog(
        request,
        form,
        _("Placement on %(name)s") % {"name": node.name},
        _("What it is, and how much it takes."),
        message,
    )


@require_GET
@page
def room(request: HttpRequest) -> HttpResponse:
    """What would be used and left if the form beside it were sent now. Nothing is kept of what it gets."""
    actor = actor_of(request)
    try:
        claim = _claim(actor, request)
        shown = claim_shown(claim)
        place = next((scope for scope in shown if scope["kind"] == "node"), None)
        if place and claim.node:
            place["bars"] = place["bars"] or _node_once(claim.node, claim.amounts)
        context: dict[str, Any] = {
            "scopes": [scope for scope in shown if scope["bars"]],
            "place": place["title"] if place else "",
        }
        bars = [bar for scope in context["scopes"] for bar in scope["bars"]]
        context["is_over"] = any(bar["is_over"] for bar in bars)
    except ComputeError as error:
        context = {"problem": complaints_text(error)}
    return render(request, "compute/_room.html", context)


def bars_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The bars of limits with their ``usage``, as the API tells them."""
    return [
        amount_bar(amount, row["usage"].get(amount, 0), row[column])
        for column, amount in MAXIMUMS.items()
        if row[column] is not None
    ]


def node_bars(actor: Actor, node_id: str) -> list[dict[str, Any]]:
    """What is given away of a node; without a ratio it is compared to what the node has once."""
    node, rules = node_get(actor, node_id), site_rules()
    scope = node_scope(node, rules)
    used = usage_of([scope], rules)[0]
    bars = scope_bars(scope, used, Amounts())
    for name, amount in (("cpu_overcommit", "cpu_cores"), ("memory_overcommit", "memory_bytes")):
        if not node_ratio(node, rules, name) and getattr(node, amount):
            bars.append(_once(node, amount, used[amount]))
    return bars


def _node_once(node: Node, asked: Amounts) -> list[dict[str, Any]]:
    """The same for a node that may be given away any number of times, with what is asked for."""
    used = usage_of([node_scope(node, rules := site_rules())], rules)[0]
    return [
        _once(node, amount, used[amount], getattr(asked, amount))
        for amount in ("cpu_cores", "memory_bytes")
        if getattr(node, amount)
    ]


def _once(node: Node, amount: str, used: float, asked: float = 0) -> dict[str, Any]:
    """Compared to what the node has; more than that is allowed."""
    return {**amount_bar(amount, used, getattr(node, amount), asked), "is_over": False}


def _claim(actor: Actor, request: HttpRequest) -> Claim:
    given = request.GET
    resources = Resources(
        cpu_cores=_number(given.get("cpu")),
        memory_bytes=_bytes(given.get("memory_mib"), MIB),
        storage_bytes=_bytes(given.get("disk_gib"), GIB),
    )
    count = int(_number(given.get("count")) or 1)
    amounts = Amounts.new(resources).times(max(1, min(count, 1000)))
    lines = given.get("node_labels", "").replace("\x00", "")[:2000]
    labels = Pairs().to_python("\n".join(_pairs(lines)))
    backend, node = (given.get(name, "").replace("\x00", "")[:100] for name in ("backend", "node"))
    place = nodes_fit(actor, backend or None, node or None, labels, amounts)[0]
    project = project_for(actor, given.get("project", "").replace("\x00", "")[:100] or None)
    return Claim(amounts, project, actor.user_id, place)


def _pairs(text: str) -> list[str]:
    """Whole ones only: somebody is still typing."""
    return [line for line in text.splitlines() if "=" in line]


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < _NUMBER_MAX else None


def _bytes(text: str | None, unit: int) -> int | None:
    value = _number(text)
    return None if value is None else int(value * unit)


def _data(request: HttpRequest) -> Any:
    return request.POST if request.method == "POST" else None


def _saved(text: str) -> HttpResponse:
    response = toast(text)
    response["HX-Refresh"] = "true"
    return response


def _dialog(request: HttpRequest, form: Any, title: str, hint: str, message: str = "") -> HttpResponse:
    context = {"form": form, "title": title, "hint": hint, "message": message, "action": request.path}
    return render(request, "compute/_limits_dialog.html", context)
