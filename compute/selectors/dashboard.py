"""What the first page shows: what is wrong, how much is left, what works hardest. Few queries, the same
number whatever there is."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from time import time
from typing import Any

from django.db.models import Q
from django.utils import timezone as django_timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from compute.actor import Actor
from compute.live import usage_latest, usage_recent_many
from compute.models import Instance, Node, Project, Resource
from compute.selectors.access import visible
from compute.selectors.alerts import AlertFilter, alerts_page
from compute.selectors.limits import MAXIMUMS, SiteRules, usage_by
from compute.selectors.operations import operations_unresolved
from compute.selectors.page import time_text
from compute.selectors.resources import resources_visible
from compute.selectors.usage import Columns, columns_of, span_for
from compute.states import AlertKind, InstanceState, NodeStatus, Severity
from compute.usage.points import COLUMNS, project_subject
from compute.wording import word_text

# From here on what is nearly full is worth a look, and from there on it is urgent.
NEARLY, FULL = 0.85, 0.95
_FAILED_FOR = timedelta(hours=24)
_SHOWN = 5
# Of more the busiest are looked for among the newest.
_LOOKED_AT = 2000
_SPARK_SAMPLES = 60
_SPARK_S = 3600
_CPU, _MEMORY, _STORAGE = (
    COLUMNS.index((metric, "avg")) for metric in ("cpu_percent", "memory_bytes", "storage_used_bytes")
)


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong. ``kind`` is the noun of its page, ``uid`` the row there; ``weight`` orders:
    0 is urgent, 1 wants a look. An alert's own ``about`` is what it was found at: noun and row."""

    kind: str
    weight: int
    title: str
    text: str
    uid: str = ""
    since: str | None = None
    about: tuple[str, str] | None = None


@dataclass(frozen=True)
class Store:
    """A disk that fills: of a node, or a pool on it. ``full_in_days`` at the pace of the last day."""

    node: str
    name: str
    used_bytes: int
    total_bytes: int
    full_in_days: float | None = None

    @property
    def share(self) -> float:
        return self.used_bytes / self.total_bytes

    @property
    def left_bytes(self) -> int:
        return max(0, self.total_bytes - self.used_bytes)


def troubles_of(
    actor: Actor, nodes: Iterable[Node], stores: Iterable[Store], limits: Iterable[Trouble]
) -> list[Trouble]:
    """The gravest first. What two sources tell of one thing stands there once."""
    away = [node for node in nodes if node.status is NodeStatus.UNREACHABLE]
    found = [
        Trouble(
            "node",
            0,
            _("%(name)s does not answer") % {"name": node.name},
            node.error or _("It was not seen yet."),
            str(node.pk),
        )
        for node in away
    ]
    ill = list(_ill(actor))
    known = {trouble.uid for trouble in (*found, *ill)}
    found += [trouble for trouble in _alerts(actor) if trouble.uid not in known]
    found += ill
    found += [
        Trouble(
            "operation",
            1,
            _("%(action)s %(name)s %(state)s")
            % {
                "action": capfirst(word_text(row["action"])),
                "name": row["instance_name"] or row["target"],
                "state": word_text(row["state"]),
            },
            (row["error"] or {}).get("message", ""),
            row["id"],
            row["finished_at"],
        )
        for row in operations_unresolved(actor, django_timezone.now() - _FAILED_FOR, _SHOWN)
    ]
    found += [_filling(store) for store in stores if store.share >= NEARLY]
    return sorted([*found, *limits], key=lambda trouble: trouble.weight)


def _alerts(actor: Actor) -> Iterator[Trouble]:
    """What fires; failed operations speak for themselves. An alert about an instance or a node has its id."""
    for row in alerts_page(actor, AlertFilter(state="firing", page_size=_SHOWN)).items:
        if row["kind"] == AlertKind.OPERATION_FAILED:
            continue
        weight = 0 if row["severity"] == Severity.CRITICAL else 1
        of_node = row["node"] if row["kind"] == AlertKind.NODE_UNREACHABLE else None
        uid = row["instance"] or of_node or ""
        about = next(((noun, row[noun]) for noun in ("instance", "node") if row[noun]), None)
        yield Trouble("alert", weight, row["rule"]["name"], row["message"], uid, row["fired_at"], about)


def _ill(actor: Actor) -> Iterator[Trouble]:
    ill = Q(state=InstanceState.ERROR.value) | Q(state=InstanceState.RUNNING.value, health="unhealthy")
    rows = visible(actor, Instance.objects.filter(ill)).filter(node__is_reachable=True)
    for pk, name, state, status in rows.order_by("name").values_list("pk", "name", "state", "status")[
        :_SHOWN
    ]:
        failed = state == InstanceState.ERROR.value
        title = (_("%(name)s failed") if failed else _("%(name)s is unhealthy")) % {"name": name}
        yield Trouble("instance", 0, title, status or "", str(pk))


def _filling(store: Store) -> Trouble:
    said = [_("%(percent)d %% of it is used.") % {"percent": round(100 * store.share)}]
    if store.full_in_days is not None:
        said.append(_full_in_words(store.full_in_days))
    title = _("%(name)s is filling up") % {"name": store.name}
    return Trouble("node", 0 if store.share >= FULL else 1, title, " ".join(said), store.node)


def _full_in_words(days: float) -> str:
    if days < 1:
        return _("At the pace of the last day it is full in less than a day.")
    text = ngettext(
        "At the pace of the last day it is full in about %(n)d day.",
        "At the pace of the last day it is full in about %(n)d days.",
        round(days),
    )
    return text % {"n": round(days)}


def limits_near(name: str, maximums: dict[str, Any], used: dict[str, float], uid: str = "") -> list[Trouble]:
    """Of the site (``uid`` empty) or of a project."""
    near = []
    for column, amount in MAXIMUMS.items():
        maximum = maximums[column]
        share = used.get(amount, 0) / maximum if maximum else 0
        if share >= NEARLY:
            word = word_text(amount.removesuffix("_bytes").replace("cpu", "CPU"))
            text = _("%(percent)d %% of what %(name)s may have is given away; more than that is refused.")
            weight = 0 if share >= 1 else 1
            title = (
                _("The limit of %(word)s of %(name)s is reached")
                if share >= 1
                else _("The limit of %(word)s of %(name)s is near")
            )
            told = {"word": word, "name": name, "percent": round(100 * share)}
            title, text = title % told, text % told
            near.append(Trouble("project" if uid else "limits", weight, title, text, uid))
    return near


def nodes_measured(nodes: list[Node]) -> list[dict[str, Any]]:
    """For each node what is used of it now (None: nobody knows), and the last hour of it."""
    now = usage_latest([str(node.pk) for node in nodes])
    past = _past([node.pk for node in nodes])
    return [
        {
            "node": node,
            **_now(now.get(str(node.pk)) if node.is_reachable else None),
            "cpu_past": past[node.pk][_CPU],
            "memory_past": past[node.pk][_MEMORY],
        }
        for node in nodes
    ]


def projects_measured(
    projects: list[Project], nodes: list[Node], rules: SiteRules
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """For each project what it may have, has been given and uses, and the last hour of it; and what is given
    away in all."""
    given = usage_by("project_id", rules)
    subjects = {
        (project.pk, node.pk): project_subject(node.pk, project.pk) for project in projects for node in nodes
    }
    past, now = _past(list(subjects.values())), usage_latest([str(each) for each in subjects.values()])
    found = []
    for project in projects:
        own = [subjects[project.pk, node.pk] for node in nodes]
        latest = [now[str(subject)] for subject in own if _is_fresh(now.get(str(subject)))]
        found.append(
            {
                "project": project,
                "given": given.get(project.pk, {}),
                "cpu": sum(sample["cpu_percent"] or 0 for sample in latest),
                "memory": sum(sample["memory_bytes"] or 0 for sample in latest),
                "cpu_past": _together(past[subject][_CPU] for subject in own),
                "memory_past": _together(past[subject][_MEMORY] for subject in own),
            }
        )
    everything: dict[str, float] = {}
    for used in given.values():
        for amount, value in used.items():
            everything[amount] = everything.get(amount, 0) + value
    return found, everything


def busiest(actor: Actor, count: int) -> list[dict[str, Any]]:
    """Those that use most CPU now, with their newest samples: ``{"id", "name", "type", "cpu", "memory",
    "cpu_past"}``."""
    rows = visible(actor, Instance.objects.filter(state=InstanceState.RUNNING.value, node__is_reachable=True))
    columns = ("pk", "name", "type", "memory_bytes")
    found = {str(row[0]): row for row in rows.order_by("-created_at").values_list(*columns)[:_LOOKED_AT]}
    now = usage_latest(found)
    order = sorted(now, key=lambda key: -(now[key].get("cpu_percent") or 0))[:count]
    past = usage_recent_many(order, _SPARK_SAMPLES)
    return [
        {
            "id": key,
            "name": found[key][1],
            "type": found[key][2],
            "memory_limit": found[key][3],
            **_now(now[key]),
            "cpu_past": [sample.get("cpu_percent") for sample in past.get(key, [])],
        }
        for key in order
    ]


def stores_of(actor: Actor, nodes: list[Node]) -> list[Store]:
    """The disks of the nodes and their pools, the fullest first."""
    paces = _paces(nodes)
    found = [
        Store(
            str(node.pk),
            _("The disk of %(name)s") % {"name": node.name},
            node.storage_used_bytes,
            node.storage_total_bytes,
            _full_in(node.storage_total_bytes - node.storage_used_bytes, paces.get(node.pk)),
        )
        for node in nodes
        if node.storage_total_bytes and node.storage_used_bytes is not None
    ]
    for pool in resources_visible(actor, "pool").order_by("name"):
        capacity, used = pool.data.get("capacity"), pool.data.get("allocation")
        if capacity and used is not None and _own_disk(pool, found):
            found.append(
                Store(
                    str(pool.node_id), _("The pool %(name)s") % {"name": pool.name}, int(used), int(capacity)
                )
            )
    return sorted(found, key=lambda store: -store.share)


def _own_disk(pool: Resource, found: list[Store]) -> bool:
    """A pool in a folder of a node's disk is as full as that disk is: told once."""
    size = (int(pool.data["capacity"]), str(pool.node_id))
    return size not in {(store.total_bytes, store.node) for store in found}


def _paces(nodes: list[Node]) -> dict[uuid.UUID, float]:
    """Bytes a second by which the disk of each node has been growing over the last day."""
    now_s = time()
    start = datetime.fromtimestamp(now_s - 86400, timezone.utc)
    span = span_for(start, None, 1800, now_s=now_s)
    paces = {}
    for subject, columns in columns_of([node.pk for node in nodes], span).items():
        known = [
            (at, value) for at, value in zip(span.times, columns[_STORAGE], strict=True) if value is not None
        ]
        if len(known) > 1 and known[-1][0] - known[0][0] >= 4 * 3600:
            paces[subject] = (known[-1][1] - known[0][1]) / (known[-1][0] - known[0][0])
    return paces


def _full_in(left_bytes: int, pace: float | None) -> float | None:
    """Days, if it is within a season; further off is a guess that helps nobody."""
    days = left_bytes / pace / 86400 if pace and pace > 0 else None
    return days if days is not None and days < 90 else None


def _past(subjects: list[uuid.UUID]) -> dict[uuid.UUID, Columns]:
    now_s = time()
    start = datetime.fromtimestamp(now_s - _SPARK_S, timezone.utc)
    return columns_of(subjects, span_for(start, None, 60, now_s=now_s))


def _together(many: Iterable[list[float | None]]) -> list[float | None]:
    """Sums of what is known at each time."""
    found = []
    for values in zip(*many, strict=True):
        known = [value for value in values if value is not None]
        found.append(sum(known) if known else None)
    return found


def _now(sample: dict[str, Any] | None) -> dict[str, Any]:
    if not _is_fresh(sample):
        return {"cpu": None, "memory": None}
    assert sample is not None
    return {"cpu": sample.get("cpu_percent"), "memory": sample.get("memory_bytes")}


def _is_fresh(sample: dict[str, Any] | None) -> bool:
    """A sampler that stopped leaves its last word behind."""
    if sample is None:
        return False
    oldest = str(time_text(datetime.fromtimestamp(time() - 60, timezone.utc)))
    return str(sample["timestamp"]) >= oldest
