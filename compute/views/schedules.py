"""The pages of schedules: list, one, and the form that adds and changes one."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.complaints import complaints_text
from compute.errors import ComputeError, InvalidInput
from compute.models import Node, Schedule
from compute.permissions import holds
from compute.schedule_forms import ScheduleForm, action_title, schedule_initial
from compute.selectors.access import permissions_by_project
from compute.selectors.backups import targets_visible
from compute.selectors.instances import InstanceFilter, instances_matching
from compute.selectors.schedules import (
    ScheduleFilter,
    runs_page,
    schedule_get,
    schedule_shown,
    schedules_page,
)
from compute.services import schedules
from compute.services.cron_words import cron_words
from compute.services.retention import keep_check
from compute.services.schedule_runs import schedule_run_now
from compute.states import RunState, colour_of
from compute.views.api_line import ApiCall, form_look, is_look
from compute.views.common import actor_of, number, page, page_of, toast
from compute.views.things import projects_with
from compute.wording import later

_schedule_page = page_of("schedules")
_CHOICES_MAX = 500
_FILTER_WORDS = {
    "q": later("like “{}”"),
    "state": later("that are {}"),
    "node": later("on the node {}"),
    "backend": later("of the backend {}"),
    "type": later("of type {}"),
}


@require_GET
@page
def schedule_list(request: HttpRequest) -> HttpResponse:
    actor, given = actor_of(request), request.GET
    wanted = ScheduleFilter(
        q=given.get("q", "").replace("\x00", "")[:100],
        page=max(1, number(given.get("page"), 1)),
        page_size=25,
    )
    found = schedules_page(actor, wanted)
    query = given.copy()
    query.pop("page", None)
    context = {
        "found": found,
        "rows": _worded(actor, found.items),
        "wanted": wanted,
        "query": query.urlencode(),
        "full_query": given.urlencode(),
        "may_create": bool(projects_with(actor, "schedule.create")),
    }
    is_fragment = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    template = "compute/_schedule_table.html" if is_fragment else "compute/schedule_list.html"
    return render(request, template, context)


@require_GET
@_schedule_page
def schedule_detail(request: HttpRequest, schedule_id: str) -> HttpResponse:
    actor = actor_of(request)
    schedule = schedule_get(actor, schedule_id)
    row = _worded(actor, [schedule_shown(schedule)])[0]
    runs = runs_page(actor, schedule, max(1, number(request.GET.get("page"), 1)), 20)
    for run in runs.items:
        run["colour"] = _run_colour(run["state"])
    context = {
        "row": row,
        "runs": runs,
        "next": schedules.schedule_preview(row)["next"] if row["is_enabled"] else [],
        "reached": _reached(actor, schedule),
    }
    template = (
        "compute/_schedule.html" if request.headers.get("HX-Request") else "compute/schedule_detail.html"
    )
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
@_schedule_page
def schedule_new(request: HttpRequest) -> HttpResponse:
    actor, message = actor_of(request), ""
    data = request.POST if request.method == "POST" else None
    projects = projects_with(actor, "schedule.create")
    form = _form(actor, projects, data, {"instances": request.GET.getlist("instance")})
    if is_look(request):
        return form_look(form, lambda: ApiCall("/compute/schedules", form.body()))
    if data is not None and form.is_valid():
        try:
            return redirect("schedule", schedule_id=schedules.schedule_create(actor, form.body()).pk)
        except ComputeError as error:
            message = form.complain(error)
    return render(request, "compute/schedule_form.html", {"form": form, "message": message})


@require_http_methods(["GET", "POST"])
@_schedule_page
def schedule_edit(request: HttpRequest, schedule_id: str) -> HttpResponse:
    actor, message = actor_of(request), ""
    row = schedule_get(actor, schedule_id)
    data = request.POST if request.method == "POST" else None
    form = _form(actor, [row.project.name], data, row=schedule_shown(row))
    if is_look(request):
        path = f"/compute/schedules/{row.pk}"
        return form_look(form, lambda: ApiCall(path, form.body(), method="PATCH"))
    if data is not None and form.is_valid():
        try:
            schedules.schedule_update(actor, row.pk, form.body())
            return redirect("schedule", schedule_id=row.pk)
        except ComputeError as error:
            message = form.complain(error)
    return render(request, "compute/schedule_form.html", {"form": form, "message": message, "row": row})


@require_POST
@_schedule_page
def schedule_look(request: HttpRequest) -> HttpResponse:
    """What the form says of its times, while it is filled in."""
    if not request.POST.get("cron", "").strip():
        return render(request, "compute/_schedule_next.html", {"found": {}})
    try:
        found = schedules.schedule_preview(request.POST.dict())
    except ComputeError as error:
        found = {"message": complaints_text(error)}
    return render(request, "compute/_schedule_next.html", {"found": found})


@require_POST
@_schedule_page
def schedule_action(request: HttpRequest, schedule_id: str, action: str) -> HttpResponse:
    actor = actor_of(request)
    if action == "run":
        run = schedule_run_now(actor, schedule_id)
        return toast(run.reason or _("It runs."), "danger" if run.reason else "info")
    if action in ("pause", "resume"):
        schedules.schedule_pause(actor, schedule_id, paused=action == "pause")
        return toast(_("It rests.") if action == "pause" else _("It runs again, from its next time on."))
    if action == "delete":
        schedules.schedule_delete(actor, schedule_id)
        if request.headers.get("HX-Request"):
            return HttpResponse(status=204, headers={"HX-Redirect": reverse("schedules")})
        return redirect("schedules")
    raise InvalidInput.field("action", "is not known.")


def _form(
    actor: Actor,
    projects: list[str],
    data: Any,
    initial: dict[str, Any] | None = None,
    *,
    row: dict[str, Any] | None = None,
) -> ScheduleForm:
    initial = schedule_initial(row) if row else initial or {}
    instances = instances_matching(actor, InstanceFilter(), _CHOICES_MAX)
    choices = [
        (str(row.pk), _("%(name)s on %(node)s") % {"name": row.name, "node": row.node.name})
        for row in instances
    ]
    known = {pk for pk, _label in choices}
    gone = [(pk, _("%(pk)s (gone)") % {"pk": pk}) for pk in initial.get("instances", []) if pk not in known]
    nodes = list(Node.objects.order_by("name").values_list("name", flat=True))
    # By the API also named by its id, or gone since: it stays what was chosen.
    nodes += [word for word in [initial.get("node", "")] if word and word not in nodes]
    targets = [row.name for row in targets_visible(actor).filter(is_enabled=True)]
    # The same, or switched off since.
    targets += [word for word in [initial.get("backup_target", "")] if word and word not in targets]
    return ScheduleForm(projects, nodes, [*choices, *gone], targets, data, initial, row)


def _worded(actor: Actor, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    allowed = permissions_by_project(actor, (row["project"]["id"] for row in rows))
    for row in rows:
        row["words"] = cron_words(row["cron"])
        row["title"] = action_title(row["action"])
        row["keep_words"] = str(keep_check(row["keep"])) if row["keep"] else ""
        row["on"] = _target_words(row["target"])
        rights = allowed[row["project"]["id"]]
        row["may_update"] = actor.is_admin or holds(rights, "schedule.update")
        row["may_delete"] = actor.is_admin or holds(rights, "schedule.delete")
        if row["last_run"]:
            row["last_run"]["colour"] = _run_colour(row["last_run"]["state"])
    return rows


def _target_words(target: dict[str, Any]) -> str:
    if "node" in target:
        return _("the node %(node)s") % {"node": target["node"]}
    if "ids" in target:
        count = len(target["ids"])
        return ngettext("%(n)d chosen instance", "%(n)d chosen instances", count) % {"n": count}
    said = [_FILTER_WORDS.get(name, f"{name} {{}}").format(text) for name, text in target["filter"].items()]
    if not said:
        return _("all instances of the project")
    return _("instances: %(conditions)s") % {"conditions": ", ".join(said)}


def _reached(actor: Actor, row: Schedule) -> list[Any]:
    """The instances that it would reach now, at most a hundred of them."""
    if "filter" in row.target:
        return instances_matching(actor, schedules.schedule_filter(row), 100)
    wanted = InstanceFilter(project=str(row.project_id))
    ids = set(row.target.get("ids", ()))
    return [each for each in instances_matching(actor, wanted, _CHOICES_MAX) if str(each.pk) in ids][:100]


def _run_colour(state: str) -> str:
    """Of a run, or of the operation that it became."""
    return colour_of("run" if state in {word.value for word in RunState} else "operation", state)
