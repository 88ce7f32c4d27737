"""The first page: what is wrong, what is left, what works, what happens."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from compute.actor import Actor
from compute.models import Node, Project
from compute.selectors.access import visible
from compute.selectors.dashboard import (
    FULL,
    NEARLY,
    Trouble,
    busiest,
    limits_near,
    nodes_measured,
    projects_measured,
    stores_of,
    troubles_of,
)
from compute.selectors.events import events_page
from compute.selectors.instances import instance_counts
from compute.selectors.limits import MAXIMUMS, site_rules
from compute.selectors.operations import operations_open
from compute.services.limits import amount_bar
from compute.states import InstanceState
from compute.views.common import actor_of, coloured, page
from compute.views.things import projects_with

_PROJECTS, _BUSIEST, _UNDER_WAY, _HAPPENED, _STORES = 6, 6, 6, 9, 6
_PAGES = {"node": "node", "instance": "instance", "operation": "operation", "project": "project"}
_LISTS = {"alert": "alerts", "limits": "limits"}


@require_GET
@page
def dashboard(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    is_fragment = bool(request.headers.get("HX-Request")) and request.GET.get("part") == "body"
    template = "compute/_dashboard.html" if is_fragment else "compute/dashboard.html"
    return render(request, template, _context(actor))


def _context(actor: Actor) -> dict[str, Any]:
    nodes, projects = list(Node.objects.all()), list(visible(actor, Project.objects.order_by("name"), "pk"))
    rules, counts = site_rules(), instance_counts(actor)
    shares, everything = projects_measured(projects, nodes, rules)
    stores = stores_of(actor, nodes)
    limits = limits_near(_("the site"), dict(rules.maximums), everything)
    for row in shares:
        project = row["project"]
        maximums = {column: getattr(project, column) for column in MAXIMUMS}
        limits += limits_near(project.name, maximums, row["given"], str(project.pk))
        row["bars"] = _bars(maximums, row["given"])
    shares.sort(key=lambda row: (-row["cpu"], row["project"].name))
    troubles = troubles_of(actor, nodes, stores, limits)
    return {
        "troubles": [(trouble, _link(actor, trouble)) for trouble in troubles],
        "is_urgent": any(trouble.weight == 0 for trouble in troubles),
        "counts": counts,
        "running": counts["by_state"].get(InstanceState.RUNNING.value, 0),
        "states": [
            (s.value, s.colour, counts["by_state"][s.value])
            for s in InstanceState
            if s.value in counts["by_state"]
        ],
        "nodes": [_node_row(row) for row in nodes_measured(nodes)],
        "projects": shares[:_PROJECTS],
        "projects_more": max(0, len(shares) - _PROJECTS),
        "limit_bars": _bars(dict(rules.maximums), everything),
        "busiest": busiest(actor, _BUSIEST),
        "stores": [(store, _level(store.share)) for store in stores[:_STORES]],
        "under_way": coloured(operations_open(actor, _UNDER_WAY)),
        "happened": _happened(actor),
        "may_create": bool(projects_with(actor, "instance.create")),
    }


def _happened(actor: Actor) -> list[dict[str, Any]]:
    """``names_it``: whether the instance must be named, because the message does not."""
    rows = events_page(actor, limit=_HAPPENED, newest_first=True)
    return [
        {**row, "names_it": row["instance_name"] and row["instance_name"] not in row["message"]}
        for row in rows
    ]


def _node_row(row: dict[str, Any]) -> dict[str, Any]:
    """With the shares of what it has; CPU is measured in percents of one core."""
    node, cpu, memory = row["node"], row["cpu"], row["memory"]
    row["status"], row["colour"] = str(node.status), node.status.colour
    if cpu is not None and node.cpu_cores:
        row["cpu_share"] = min(1, cpu / 100 / node.cpu_cores)
        row["cpu_left"] = max(0.0, node.cpu_cores - cpu / 100)
        row["cpu_level"] = _level(row["cpu_share"])
    if memory is not None and node.memory_bytes:
        row["memory_share"] = min(1, memory / node.memory_bytes)
        row["memory_left"] = max(0, node.memory_bytes - memory)
        row["memory_level"] = _level(row["memory_share"])
    row["cpu_most"] = 100 * node.cpu_cores
    return row


def _level(share: float) -> str:
    """The colour of a bar."""
    return "red" if share >= FULL else "orange" if share >= NEARLY else "primary"


def _bars(maximums: dict[str, Any], used: dict[str, float]) -> list[dict[str, Any]]:
    return [
        amount_bar(amount, used.get(amount, 0), maximums[column])
        for column, amount in MAXIMUMS.items()
        if maximums[column] is not None
    ]


def _link(actor: Actor, trouble: Trouble) -> str:
    """Where one looks after it: at the thing itself, whose page says what to do next, if that is known."""
    if trouble.kind == "limits" and not actor.is_admin:
        return ""
    if trouble.about is not None:
        noun, uid = trouble.about
        return reverse(_PAGES[noun], args=[uid])
    if trouble.kind in _PAGES:
        return reverse(_PAGES[trouble.kind], args=[trouble.uid])
    return reverse(_LISTS[trouble.kind])
