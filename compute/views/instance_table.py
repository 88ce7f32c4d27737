"""The list of instances: views, columns, groups, and a table that the page's script draws again in place.

The address holds the whole state of the page, so that it can be kept, shared and gone back to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from compute.actor import Actor
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_names
from compute.live import usage_latest
from compute.models import Node
from compute.selectors.access import projects_matter
from compute.selectors.adoption import unmanaged
from compute.selectors.instances import (
    GROUPS,
    LABEL_GROUP,
    STACK_LABEL,
    InstanceFilter,
    instances_page,
    label_keys,
    label_pair,
    view_counts,
)
from compute.selectors.saved_views import columns_of, views_of
from compute.services import saved_views
from compute.services.projects import projects_list
from compute.states import InstanceState, InstanceType
from compute.views.bulk import bulk_actions, bulk_filter
from compute.views.common import actor_of, number, page
from compute.views.instance_lines import lines_fill
from compute.views.instances import rows_for_page
from compute.views.things import projects_with
from compute.wording import later

PAGE = saved_views.INSTANCES
SIZES = (25, 50, 100, 200)
_SIZE = 50
_TERMINALS = {str(Capability.TERMINAL), str(Capability.CONSOLE)}
_Q_MAX = 100
_LABELS_SHOWN = 4


@dataclass(frozen=True)
class Column:
    """``sort`` is the word by which it can be sorted; ``css`` when it is hidden for want of room."""

    name: str
    title: str
    sort: str = ""
    css: str = ""
    is_default: bool = False


# In the order of the table, between the state and the buttons.
COLUMNS = (
    Column("node", later("Node"), "node", "d-none d-md-table-cell", is_default=True),
    Column("project", later("Project"), "", "d-none d-lg-table-cell"),
    Column("stack", later("Stack"), "", "d-none d-lg-table-cell"),
    Column("image", later("Image"), "image", "d-none d-lg-table-cell"),
    Column("address", later("Address"), "", "d-none d-lg-table-cell", is_default=True),
    Column("ports", later("Ports"), "", "d-none d-xl-table-cell"),
    Column("labels", later("Labels"), "", "d-none d-xl-table-cell"),
    Column("cpu", "CPU", "", "d-none d-md-table-cell", is_default=True),
    Column("memory", later("Memory"), "memory", "d-none d-md-table-cell", is_default=True),
    Column("cores", later("Cores"), "cpu", "d-none d-lg-table-cell"),
    Column("created", later("Created"), "created_at", "d-none d-xl-table-cell", is_default=True),
)
COLUMN_NAMES = tuple(column.name for column in COLUMNS)
# Name, title, query, and whose number of ``view_counts`` it has.
_BUILT_IN = (
    ("all", later("All"), "", "all"),
    ("running", later("Running"), "state=running", "running"),
    ("attention", later("Needs attention"), "attention=1", "attention"),
    ("stopped", later("Stopped"), "state=stopped", "stopped"),
    ("vms", later("VMs"), "type=vm", "vm"),
    ("containers", later("Containers"), "type=container", "container"),
    ("mine", later("Mine"), "mine=1", "mine"),
)


@require_GET
@page
def instance_list(request: HttpRequest) -> HttpResponse:
    """As a fragment, only what changes with the address and with what happens: ``#views`` and
    ``#instances``; the latter alone where only that is the target."""
    actor = actor_of(request)
    context = _listing(actor, request.GET)
    is_fragment = request.headers.get("HX-Request") and not request.headers.get("HX-Boosted")
    if is_fragment and request.headers.get("HX-Target") == "instances":
        return render(request, "compute/_instance_rows.html", context)
    context["views"] = _views(actor, request.GET)
    if is_fragment:
        return render(request, "compute/_instance_table.html", context)
    return render(request, "compute/instance_list.html", {**context, **_choices(actor, context["group"])})


@require_POST
@page
def view_save(request: HttpRequest) -> HttpResponse:
    query = saved_views.query_kept(PAGE, QueryDict(request.POST.get("query", "").lstrip("?")))
    row = saved_views.view_save(actor_of(request), PAGE, request.POST.get("name", ""), query)
    return redirect(_address(str(row.pk), query))


@require_POST
@page
def view_remove(request: HttpRequest, view_id: int) -> HttpResponse:
    saved_views.view_delete(actor_of(request), PAGE, view_id)
    return redirect("instances")


@require_POST
@page
def columns_save(request: HttpRequest) -> HttpResponse:
    names = COLUMN_NAMES if request.POST.get("all") else request.POST.getlist("columns")
    saved_views.columns_set(actor_of(request), PAGE, names, COLUMN_NAMES)
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204)
    return redirect("instances")


def _listing(actor: Actor, given: QueryDict) -> dict[str, Any]:
    wanted = _wanted(given)
    found = instances_page(actor, wanted)
    rows = rows_for_page(actor, found.items)
    usage = usage_latest([row["id"] for row in rows if row["state"] == InstanceState.RUNNING.value])
    for row in rows:
        row["usage"] = _usage(row, usage.get(row["id"]))
        _links(row)
        row["stack"] = row["labels"].get(STACK_LABEL, "")
        row["labels_shown"] = [pair for pair in row["labels"].items() if pair[0] != STACK_LABEL][
            :_LABELS_SHOWN
        ]
    chosen = columns_of(actor, PAGE)
    show = {c.name for c in COLUMNS if (c.is_default if chosen is None else c.name in chosen)}
    lines_fill(rows, show)
    columns = [_head(column, given) for column in COLUMNS if column.name in show]
    return {
        "rows": rows,
        "found": found,
        "wanted": wanted,
        "group": wanted.group,
        "heads": [
            _head(Column("name", _("Name"), "name"), given),
            _head(Column("state", _("State"), "state"), given),
        ],
        "columns": columns,
        "width": len(columns) + 4,
        "pages": _pages(given, found.page, found.pages),
        "chips": _chips(given),
        "bulk_filter": bulk_filter(wanted),
        "filtered": any(given.get(name) for name in saved_views.INSTANCE_FILTERS),
    }


def _choices(actor: Actor, group: str) -> dict[str, Any]:
    """What stands in the form around the table, which is drawn once."""
    is_divided = projects_matter()
    words = sorted(GROUPS if is_divided else GROUPS - {"project"})
    labels = [f"{LABEL_GROUP}{key}" for key in label_keys(actor) if key != STACK_LABEL]
    if group.startswith(LABEL_GROUP) and group not in labels:
        labels.append(group)
    return {
        "backends": backend_names(),
        "states": [state.value for state in InstanceState],
        "types": [word.value for word in InstanceType],
        "nodes": list(Node.objects.order_by("name").values_list("name", flat=True)),
        "projects": sorted(row["name"] for row in projects_list(actor)) if is_divided else [],
        "groups": words,
        "label_groups": [(name, name.removeprefix(LABEL_GROUP)) for name in labels],
        "sizes": SIZES,
        "bulk_actions": bulk_actions(_adopters(actor)),
        "all_columns": [c for c in COLUMNS if c.name != "project" or is_divided],
    }


def _adopters(actor: Actor) -> list[str]:
    """The projects into which the actor may adopt what is unmanaged, while there is any."""
    if not actor.is_admin or not unmanaged(actor).exists():
        return []
    return projects_with(actor, "instance.read")


def _wanted(given: QueryDict) -> InstanceFilter:
    size = number(given.get("size"), _SIZE)
    return InstanceFilter(
        backend=_text(given, "backend"),
        state=_text(given, "state"),
        type=_text(given, "type"),
        node=_text(given, "node"),
        project=_text(given, "project"),
        image=_text(given, "image"),
        q=_text(given, "q")[:_Q_MAX],
        labels=dict(label_pair(text.replace("\x00", "")) for text in given.getlist("label") if text),
        attention=bool(given.get("attention")),
        mine=bool(given.get("mine")),
        sort=[word for word in (_text(given, "sort"),) if word],
        group=_text(given, "group"),
        page=max(1, number(given.get("page"), 1)),
        page_size=size if size in SIZES else _SIZE,
    )


def _text(given: QueryDict, name: str) -> str:
    return (given.get(name) or "").replace("\x00", "")


def _links(row: dict[str, Any]) -> None:
    """Which of its tabs are one click away, by the rules of the tabs themselves."""
    can = set(row["capabilities"])
    is_on = row["state"] == InstanceState.RUNNING.value and not row["stale"]
    row["has_terminal"] = row["may_console"] and is_on and bool(can & _TERMINALS)
    row["has_log"] = row["may_console"] and str(Capability.LOGS) in can


def _usage(row: dict[str, Any], sample: dict[str, Any] | None) -> dict[str, Any] | None:
    """Of a sample what the bars show: ``cpu`` and ``memory`` in percent of what it may use, or None."""
    if sample is None:
        return None
    cores, most = row["resources"]["cpu"]["cores"], row["resources"]["memory"]["limit"]
    most = most or sample.get("memory_limit_bytes")
    used, cpu = sample["memory_bytes"], sample["cpu_percent"]
    return {
        "cpu_percent": cpu,
        "memory_bytes": used,
        "cpu": None if cpu is None else min(100.0, cpu / (cores or 1)),
        "memory": min(100.0, 100 * used / most) if used is not None and most else None,
    }


def _head(column: Column, given: QueryDict) -> dict[str, Any]:
    """A column with the address that sorts by it: once up, again down."""
    if not column.sort:
        return {"column": column, "url": "", "order": ""}
    now = given.get("sort") or "name"
    order = {column.sort: "ascending", f"-{column.sort}": "descending"}.get(now, "")
    first = f"-{column.sort}" if column.sort in ("created_at", "cpu", "memory") else column.sort
    turned = column.sort if now == f"-{column.sort}" else f"-{column.sort}"
    return {"column": column, "url": _with(given, sort=turned if order else first), "order": order}


def _views(actor: Actor, given: QueryDict) -> list[dict[str, Any]]:
    """The tabs. The one that was chosen stays so while its list is narrowed further."""
    counts, chosen = view_counts(actor), given.get("view") or "all"
    found = [_view(chosen, name, title, query, count=counts[of]) for name, title, query, of in _BUILT_IN]
    kept = saved_views.query_kept(PAGE, given)
    for row in views_of(actor, PAGE):
        view = _view(chosen, str(row.pk), row.name, row.query, is_own=True)
        view["is_changed"] = view["is_chosen"] and kept != saved_views.query_kept(PAGE, QueryDict(row.query))
        found.append(view)
    return found


def _view(chosen: str, name: str, title: str, query: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "title": title, "url": _address(name, query), "is_chosen": name == chosen, **more}


def _address(view: str, query: str) -> str:
    asked = QueryDict(query, mutable=True)
    if view != "all":
        asked["view"] = view
    return f"{reverse('instances')}?{asked.urlencode()}" if asked else reverse("instances")


def _with(given: QueryDict, **changes: Any) -> str:
    """This address with other words; a page of its own only where one is asked for."""
    asked = given.copy()
    asked.pop("page", None)
    for name, value in changes.items():
        asked[name] = str(value)
    return f"?{asked.urlencode()}"


def _pages(given: QueryDict, now: int, last: int) -> dict[str, str]:
    """Where the buttons below the table go; empty at either end."""
    return {
        "back": _with(given, page=now - 1) if now > 1 else "",
        "next": _with(given, page=now + 1) if now < last else "",
    }


def _chips(given: QueryDict) -> list[dict[str, str]]:
    """Filters that have no field of their own, each with the address without it."""
    labels = [text for text in given.getlist("label") if text]
    chips = []
    for text in labels:
        asked = given.copy()
        asked.setlist("label", [other for other in labels if other != text])
        asked.pop("page", None)
        chips.append({"text": text, "url": f"?{asked.urlencode()}"})
    for name, title in (("attention", _("needs attention")), ("mine", _("made by me")), ("image", "")):
        if given.get(name):
            asked = given.copy()
            del asked[name]
            asked.pop("page", None)
            chips.append(
                {
                    "text": title or _("image %(image)s") % {"image": given[name]},
                    "url": f"?{asked.urlencode()}",
                }
            )
    return chips
