"""Alerts, their rules and channels; the bell of every page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.alert_forms import WHOLE_SITE, ChannelForm, RuleForm
from compute.errors import ComputeError
from compute.models import Node
from compute.permissions import holds
from compute.selectors import alerts as found
from compute.selectors.access import action_require, permissions_by_project
from compute.services import alerts
from compute.states import AlertState, DeliveryState, Severity
from compute.views.api_line import ApiCall, form_look, is_look
from compute.views.common import actor_of, number, page_of, toast
from compute.views.things import projects_with
from compute.wording import later

_page = page_of("alerts")
_PAGE_SIZE = 25
_SILENCES = {
    "600": later("10 minutes"),
    "3600": later("1 hour"),
    "28800": later("8 hours"),
    "86400": later("1 day"),
    "604800": later("1 week"),
}


@require_GET
@_page
def alert_list(request: HttpRequest) -> HttpResponse:
    """What fires first. Looking at it is what makes it no news any more."""
    actor = actor_of(request)
    state = request.GET.get("state", "")
    wanted = found.AlertFilter(
        state=state if state in {word.value for word in AlertState} else "",
        page=max(1, number(request.GET.get("page"), 1)),
        page_size=_PAGE_SIZE,
    )
    listed = found.alerts_page(actor, wanted)
    for row in listed.items:
        row["colour"] = AlertState(row["state"]).colour
        row["severity_colour"] = Severity(row["severity"]).colour
    _permit(actor, listed.items, [row["project"] for row in listed.items])
    context = {
        "found": listed,
        "rows": listed.items,
        "state": wanted.state,
        "states": [word.value for word in AlertState],
        "full_query": request.GET.urlencode(),
        "tab": "alerts",
    }
    return render(request, _template(request, "alert"), context)


@require_GET
@_page
def rule_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    listed = found.rules_page(actor, page=max(1, number(request.GET.get("page"), 1)), page_size=_PAGE_SIZE)
    for row in listed.items:
        row["severity_colour"] = Severity(row["severity"]).colour
    _permit(actor, listed.items, [row["project"]["id"] if row["project"] else None for row in listed.items])
    may_create = actor.is_admin or bool(projects_with(actor, "alert.create"))
    context = {
        "found": listed,
        "rows": listed.items,
        "may_create": may_create,
        "silences": _SILENCES,
        "full_query": request.GET.urlencode(),
        "tab": "rules",
    }
    return render(request, _template(request, "alert_rule"), context)


@require_GET
@_page
def channel_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    listed = found.channels_page(actor, page_size=200)
    context = {"rows": listed.items, "is_admin": actor.is_admin, "tab": "channels"}
    return render(request, _template(request, "alert_channel"), context)


@require_GET
@_page
def bell(request: HttpRequest) -> HttpResponse:
    return bell_shown(request)


@require_POST
@_page
def alerts_seen(request: HttpRequest) -> HttpResponse:
    alerts.alerts_see(actor_of(request))
    return render(
        request, "compute/_bell.html", {"firing": found.alerts_unseen(actor_of(request))[0], "new": 0}
    )


@require_POST
@_page
def acknowledge(request: HttpRequest, alert_id: str) -> HttpResponse:
    row = alerts.alert_acknowledge(actor_of(request), alert_id)
    return toast(_("%(subject_name)s: you look after it.") % {"subject_name": row.subject_name})


@require_http_methods(["GET", "POST"])
@_page
def rule_edit(request: HttpRequest, rule_id: str | None = None) -> HttpResponse:
    """The dialog that makes one, or changes it."""
    actor, message = actor_of(request), ""
    row = found.rule_get(actor, rule_id) if rule_id else None
    if row is not None:
        action_require(actor, "alert.update", row.project_id)
    shown = found.rule_dict(row) if row else None
    form = _rule_form(actor, request.POST if request.method == "POST" else None, shown)
    if is_look(request):
        return form_look(form, lambda: _call("rules", row.pk if row else None, form.body()))
    if form.is_bound and form.is_valid():
        try:
            saved = (
                alerts.rule_update(actor, row.pk, form.body())
                if row
                else alerts.rule_create(actor, form.body())
            )
            return toast(
                (_("%(name)s was changed.") if row else _("%(name)s was made.")) % {"name": saved.name}
            )
        except ComputeError as error:
            message = form.complain(error)
    return render(request, "compute/_alert_rule_edit.html", {"form": form, "row": shown, "message": message})


@require_http_methods(["GET", "POST"])
@_page
def rule_remove(request: HttpRequest, rule_id: str) -> HttpResponse:
    actor = actor_of(request)
    row = found.rule_get(actor, rule_id)
    if request.method == "GET":
        return render(request, "compute/_alert_remove.html", {"row": found.rule_dict(row), "noun": "rule"})
    alerts.rule_delete(actor, row.pk)
    return toast(_("%(name)s was removed.") % {"name": row.name})


@require_POST
@_page
def rule_silence(request: HttpRequest, rule_id: str) -> HttpResponse:
    seconds = request.POST.get("for_s", "")
    row = alerts.rule_silence(actor_of(request), rule_id, int(seconds) if seconds in _SILENCES else 0)
    said = _("%(name)s: silenced.") if row.silenced_until else _("%(name)s: no longer silenced.")
    return toast(said % {"name": row.name})


@require_http_methods(["GET", "POST"])
@_page
def channel_edit(request: HttpRequest, channel_id: str | None = None) -> HttpResponse:
    """The dialog that makes one, or changes it; a new secret is shown in it, once."""
    actor, message = actor_of(request), ""
    action_require(actor, "channel.update")
    row = found.channel_get(actor, channel_id) if channel_id else None
    shown = found.channel_dict(row, actor) if row else None
    data = request.POST if request.method == "POST" else None
    form = ChannelForm(projects_with(actor, "alert.read"), data, shown)
    renew = row is not None and "renew" in request.POST
    renewed = {"renew_secret": renew} if renew else {}
    if is_look(request):
        return form_look(form, lambda: _call("channels", row.pk if row else None, {**form.body(), **renewed}))
    if form.is_bound and form.is_valid():
        try:
            if row is None:
                saved, secret = alerts.channel_create(actor, form.body())
            else:
                saved, secret = alerts.channel_update(actor, row.pk, {**form.body(), **renewed})
            if secret:
                told = {"row": found.channel_dict(saved, actor), "secret": secret}
                return render(request, "compute/_alert_secret.html", told)
            return toast(
                (_("%(name)s was changed.") if row else _("%(name)s was made.")) % {"name": saved.name}
            )
        except ComputeError as error:
            message = form.complain(error)
    context = {"form": form, "row": shown, "message": message}
    return render(request, "compute/_alert_channel_edit.html", context)


@require_http_methods(["GET", "POST"])
@_page
def channel_remove(request: HttpRequest, channel_id: str) -> HttpResponse:
    actor = actor_of(request)
    action_require(actor, "channel.delete")
    row = found.channel_get(actor, channel_id)
    if request.method == "GET":
        shown = {"row": found.channel_dict(row, actor), "noun": "channel"}
        return render(request, "compute/_alert_remove.html", shown)
    alerts.channel_delete(actor, row.pk)
    return toast(_("%(name)s was removed.") % {"name": row.name})


@require_POST
@_page
def channel_test(request: HttpRequest, channel_id: str) -> HttpResponse:
    """Send a test; the log that comes back shows what became of it."""
    actor = actor_of(request)
    alerts.channel_test(actor, channel_id)
    return _log(request, actor, channel_id)


@require_GET
@_page
def channel_log(request: HttpRequest, channel_id: str) -> HttpResponse:
    return _log(request, actor_of(request), channel_id)


def bell_shown(request: HttpRequest) -> HttpResponse:
    firing, new = found.alerts_unseen(actor_of(request))
    return render(request, "compute/_bell.html", {"firing": firing, "new": new})


def _call(noun: str, pk: Any, body: dict[str, Any]) -> ApiCall:
    if pk is None:
        return ApiCall(f"/alerts/{noun}", body)
    return ApiCall(f"/alerts/{noun}/{pk}", body, method="PATCH", whole=True)


def _log(request: HttpRequest, actor: Actor, channel_id: str) -> HttpResponse:
    action_require(actor, "channel.test")
    channel = found.channel_get(actor, channel_id)
    rows = found.deliveries_page(channel, page_size=20).items
    for row in rows:
        row["colour"] = DeliveryState(row["state"]).colour
    under_way = any(row["state"] in ("queued", "sending") for row in rows)
    context = {"row": found.channel_dict(channel, actor), "rows": rows, "under_way": under_way}
    return render(request, "compute/_alert_channel_log.html", context)


def _rule_form(actor: Actor, data: Any, row: dict[str, Any] | None) -> RuleForm:
    projects = projects_with(actor, "alert.create")
    if actor.is_admin:
        projects = [WHOLE_SITE, *projects]
    nodes = list(Node.objects.order_by("name").values_list("name", flat=True))
    if row and row["node"]:
        row = {**row, "node": Node.objects.values_list("name", flat=True).filter(pk=row["node"]).first()}
    channels = [channel["name"] for channel in found.channels_page(actor, page_size=200).items]
    return RuleForm(projects, nodes, channels, data, row)


def _permit(actor: Actor, rows: list[dict[str, Any]], projects: list[str | None]) -> None:
    """Say of each row what this person may do to it."""
    allowed = permissions_by_project(actor, (each for each in projects if each))
    for row, project in zip(rows, projects, strict=True):
        permissions = allowed[project] if project else frozenset()
        row["may_update"] = actor.is_admin or holds(permissions, "alert.update")
        row["may_delete"] = actor.is_admin or holds(permissions, "alert.delete")


def _template(request: HttpRequest, noun: str) -> str:
    is_fragment = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    return f"compute/_{noun}_table.html" if is_fragment else f"compute/{noun}_list.html"
