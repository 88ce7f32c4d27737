"""What runs outside LibGo, adopted with one button; the standing rules."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.actor import Actor
from compute.adoption_forms import AdoptionFilterForm, AdoptionRuleForm
from compute.backends.registry import backend_names
from compute.errors import ComputeError, InvalidInput
from compute.models import Node
from compute.selectors.access import action_require
from compute.selectors.adoption import adoption_rule_dict, candidate_dict, unmanaged_by_node
from compute.services import adoption, adoption_rules
from compute.states import InstanceState
from compute.views.common import actor_of, number, page, toast
from compute.views.things import projects_with
from compute.wording import later

# A page that shows more helps nobody; what matches beyond is counted and adopted all the same.
_SHOWN_MAX = 300


@require_http_methods(["GET", "POST"])
@page
def adopt(request: HttpRequest) -> HttpResponse:
    """GET shows what matches and what would become of it; POST adopts what is ticked, or all that fits."""
    actor = actor_of(request)
    action_require(actor, "instance.adopt")
    form = _form(AdoptionFilterForm, actor, request.POST or request.GET or None)
    said: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        said = _adopted(actor, form, request.POST.getlist("ids"), request.POST.get("what", ""))
    context = {"form": form, "said": said, "tab": "unmanaged", **_listed(actor, form)}
    is_fragment = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    template = "compute/_adopt_table.html" if is_fragment else "compute/adopt.html"
    return render(request, template, context)


@require_GET
@page
def rule_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    found = adoption_rules.adoption_rules_list(actor, max(1, number(request.GET.get("page"), 1)), 50)
    context = {"found": found, "rows": _worded(found.items), "tab": "rules"}
    return render(request, "compute/adopt_rules.html", context)


@require_http_methods(["GET", "POST"])
@page
def rule_edit(request: HttpRequest, rule_id: str | None = None) -> HttpResponse:
    """The page that makes one, or changes it, with what it would adopt now beside it."""
    actor, message = actor_of(request), ""
    action_require(actor, "adoption_rule.update")
    row = adoption_rule_dict(adoption_rules.adoption_rule_read(actor, rule_id)) if rule_id else None
    # What the page of unmanaged instances was narrowed to may become a rule.
    initial = AdoptionRuleForm.initial_of(row) if row else request.GET.dict()
    form = _form(AdoptionRuleForm, actor, request.POST if request.method == "POST" else None, initial)
    if form.is_bound and form.is_valid():
        try:
            if row:
                adoption_rules.adoption_rule_update(actor, row["id"], form.body())
            else:
                adoption_rules.adoption_rule_create(actor, form.body())
            return redirect("adopt_rules")
        except ComputeError as error:
            message = form.complain(error)
    return render(
        request, "compute/adopt_rule.html", {"form": form, "row": row, "message": message, "tab": "rules"}
    )


@require_POST
@page
def rule_look(request: HttpRequest) -> HttpResponse:
    """What the rule in the form would adopt now."""
    actor = actor_of(request)
    action_require(actor, "instance.adopt")
    form = _form(AdoptionFilterForm, actor, request.POST)
    return render(request, "compute/_adopt_look.html", _listed(actor, form))


@require_POST
@page
def rule_action(request: HttpRequest, rule_id: str, action: str) -> HttpResponse:
    actor = actor_of(request)
    if action == "apply":
        done = adoption_rules.adoption_rule_apply(actor, rule_id)
        good = sum(each.error is None for each in done)
        bad = len(done) - good
        said = [ngettext("%(n)d instance adopted.", "%(n)d instances adopted.", good) % {"n": good}]
        if bad:
            said.append(
                ngettext("%(n)d could not be: see the rule.", "%(n)d could not be: see the rule.", bad)
                % {"n": bad}
            )
        return toast(" ".join(said), "warning" if bad else "success")
    if action in ("on", "off"):
        adoption_rules.adoption_rule_update(actor, rule_id, {"enabled": action == "on"})
    elif action == "delete":
        adoption_rules.adoption_rule_delete(actor, rule_id)
    else:
        raise InvalidInput.field("action", "is not known.")
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": reverse("adopt_rules")})
    return redirect("adopt_rules")


def _form(kind: type[Any], actor: Actor, data: Any, initial: dict[str, Any] | None = None) -> Any:
    nodes = list(Node.objects.order_by("name").values_list("name", flat=True))
    projects = projects_with(actor, "instance.read")
    if data is not None and "project" not in data:
        # A link narrows; the project is chosen on the page.
        data = data.copy()
        data["project"] = projects[0]
    return kind(projects, nodes, backend_names(), data, initial)


def _adopted(actor: Actor, form: AdoptionFilterForm, ids: list[str], what: str) -> dict[str, Any]:
    """What is said afterwards."""
    project = form.cleaned_data["project"]
    try:
        if what == "all":
            wanted = adoption_rules.adoption_filter_of(form.adoption_filter)
            done = adoption.unmanaged_adopt(actor, wanted, project)
        elif not ids:
            return {"problem": _("Nothing is ticked.")}
        else:
            done = [adoption.Verdict(row) for row in adoption.instances_adopt(actor, ids, project)]
    except ComputeError as error:
        return {"problem": form.complain(error) or error.message}
    return {
        "adopted": sum(each.error is None for each in done),
        "refused": sum(each.error is not None for each in done),
        "project": project,
    }


def _listed(actor: Actor, form: AdoptionFilterForm) -> dict[str, Any]:
    """What matches the form, with what would become of each; everything while nothing was asked."""
    everywhere = unmanaged_by_node(actor)
    total = sum(each["count"] for each in everywhere)
    context: dict[str, Any] = {"everywhere": everywhere, "total": total, "rows": [], "problem": ""}
    wanted, project = adoption.AdoptionFilter(), form.fields["project"].choices[0][0]  # type: ignore[attr-defined]
    if form.is_bound:
        if not form.is_valid():
            return {**context, "problem": " ".join(str(e) for es in form.errors.values() for e in es)}
        wanted = adoption_rules.adoption_filter_of(form.adoption_filter)
        project = form.cleaned_data["project"]
    try:
        target, verdicts = adoption.adoption_preview(actor, project, wanted=wanted)
    except ComputeError as error:
        return {**context, "problem": error.message}
    rows = [candidate_dict(each.row, each.error) for each in verdicts]
    for row in rows[:_SHOWN_MAX]:
        row["colour"] = InstanceState(row["state"]).colour
    fits = sum(row["error"] is None for row in rows)
    return {
        **context,
        "project": target.name,
        "rows": rows[:_SHOWN_MAX],
        "more": max(0, len(rows) - _SHOWN_MAX),
        "found": len(rows),
        "fits": fits,
        "refused": len(rows) - fits,
    }


_CONDITIONS = {
    "node": later("on the node {}"),
    "backend": later("of the backend {}"),
    "name": later("named {}"),
    "image": later("of the image {}"),
}


def _worded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        wanted = row["filter"]
        said = [text.format(wanted[name]) for name, text in _CONDITIONS.items() if wanted[name]]
        if wanted["network"]:
            said.append(_("in the network %(network)s") % {"network": wanted["network"]})
        labels = wanted["labels"].items()
        said += [f"{key}={value}" if value else _("with %(label)s") % {"label": key} for key, value in labels]
        row["words"] = ", ".join(said) or _("everything that appears")
    return rows
