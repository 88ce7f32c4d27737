"""What is used and what is allowed: of the site, a project, a user, a node.

Counted is what exists, made outside included, and what is under way. An instance that states no limit
of CPU or memory counts with the size that the site assumes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count, F, FloatField, Q, Sum, Value
from django.db.models.functions import Coalesce

from compute.models import Instance, Node, Operation, Project, Resource, SiteLimits, User, UserLimits
from compute.selectors.prepared import Prepared
from compute.states import ACTIVE_OPERATION_STATES

_GIB, _MIB = 1024**3, 1024**2

# In the params of an operation that makes instances or storage without a row each beforehand: what it will
# add, as ``AMOUNTS``. Counted while it is active, so in part twice when some are there already; never too
# little. With ``node`` in it, it is only to the account of that node.
RESERVES = "reserves"

AMOUNTS = ("instances", "cpu_cores", "memory_bytes", "storage_bytes")
# The columns of limits, each with the amount that it bounds.
MAXIMUMS = {f"max_{amount}": amount for amount in AMOUNTS}
_NODE_LIMITS = {"cpu_overcommit": "cpu_cores", "memory_overcommit": "memory_bytes"}


@dataclass(frozen=True)
class SiteRules:
    """``maximums`` by column, None is "no limit"; ratios: 0 is "any number of times"."""

    maximums: Mapping[str, Any]
    assumed_cpu_cores: float
    assumed_memory_bytes: int
    cpu_overcommit: float
    memory_overcommit: float


@dataclass(frozen=True)
class Scope:
    """``limits``: the name of a limit, its amount, its maximum. ``rows``: whose it is, as a condition
    on instances; ``key`` and ``pk`` the same for what has no row."""

    kind: str
    name: str
    limits: tuple[tuple[str, str, float | None], ...]
    key: str = ""
    pk: uuid.UUID | None = None

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}".strip()

    @property
    def is_bounded(self) -> bool:
        return any(maximum is not None for _, _, maximum in self.limits)


# Asked for by each create, some more than once.
_SITE = Prepared(lambda: SiteLimits.objects.filter(pk=SiteLimits.ID), keys=0)
_PROJECT = Prepared(lambda key: Project.objects.filter(pk=key))
_USER = Prepared(lambda key: User.objects.select_related("limits").filter(pk=key))
_NODE = Prepared(lambda key: Node.objects.filter(pk=key))


def site_rules() -> SiteRules:
    """Of the configuration and of what administrators set: the narrower maximum; for the rest, what was
    set."""
    file, own = settings.LIBGO["compute"], _SITE.first()
    fixed = _of_file(file["resource_limits"])
    maximums = {column: _narrower(fixed[column], getattr(own, column, None)) for column in MAXIMUMS}
    usual = {
        "assumed_cpu_cores": file["assumed_cpu_cores"],
        "assumed_memory_bytes": file["assumed_memory_mb"] * _MIB,
        "cpu_overcommit": file["cpu_overcommit"],
        "memory_overcommit": file["memory_overcommit"],
    }
    rest = {
        name: value if own is None or getattr(own, name) is None else getattr(own, name)
        for name, value in usual.items()
    }
    return SiteRules(maximums, **rest)


def site_limits() -> dict[str, Any]:
    """The site's limits in LibGo's units; None is "no limit"."""
    return dict(site_rules().maximums)


def site_scope(rules: SiteRules) -> Scope:
    return Scope("site", "", _limits(rules.maximums))


def project_scope(project: Project) -> Scope:
    """Of the row as it is now: limits may have been changed since it was read."""
    project = _PROJECT.first(project.pk) or project
    own = {column: getattr(project, column) for column in MAXIMUMS}
    return Scope("project", project.name, _limits(own), "project_id", project.pk)


def user_scope(user_id: uuid.UUID) -> Scope | None:
    """None for an account that is gone."""
    user = _USER.first(user_id)
    if user is None:
        return None
    own = _maximums(getattr(user, "limits", None))
    return Scope("user", user.get_username(), _limits(own), "created_by_id", user.pk)


def user_maximums(user: User) -> dict[str, Any]:
    """The limits of an account by column; None is "no limit"."""
    return _maximums(UserLimits.objects.filter(pk=user.pk).first())


def _maximums(row: UserLimits | None) -> dict[str, Any]:
    return {column: getattr(row, column, None) for column in MAXIMUMS}


def node_scope(node: Node, rules: SiteRules) -> Scope:
    """What a node has, as often as it may be given away, as the row is now."""
    node = _NODE.first(node.pk) or node
    totals = {"cpu_overcommit": node.cpu_cores, "memory_overcommit": node.memory_bytes}
    limits = []
    for name, amount in _NODE_LIMITS.items():
        ratio = node_ratio(node, rules, name)
        # What was never seen is not known to be full.
        maximum = totals[name] * ratio if ratio and totals[name] else None
        limits.append((name, amount, int(maximum) if maximum and amount == "memory_bytes" else maximum))
    return Scope("node", node.name, tuple(limits), "node_id", node.pk)


def node_ratio(node: Node, rules: SiteRules, name: str) -> float:
    """Its own ``cpu_overcommit`` or ``memory_overcommit``, else the site's; 0: any number of times."""
    own = getattr(node, name)
    return float(getattr(rules, name) if own is None else own)


def usage_of(scopes: Iterable[Scope], rules: SiteRules) -> list[dict[str, float]]:
    """By scope, what is used of each of ``AMOUNTS``."""
    scopes = list(scopes)
    if not scopes:
        return []
    active, volumes = _under_way(), _standalone()
    return [_usage(scope, rules, active, volumes) for scope in scopes]


def nodes_used(rules: SiteRules, nodes: Iterable[Node]) -> dict[uuid.UUID, dict[str, float]]:
    """What is given away of each node, by few queries."""
    wanted = list(nodes)
    rows = Instance.objects.filter(node__in=wanted).order_by().values("node_id").annotate(**_sums(rules))
    found = {row.pop("node_id"): {name: value or 0 for name, value in row.items()} for row in rows}
    active = _under_way()
    for node in wanted:
        used = found.setdefault(node.pk, dict.fromkeys(AMOUNTS, 0))
        for item in active:
            if item["node_id"] == node.pk:
                _add(used, item)
    return found


def usage_by(column: str, rules: SiteRules) -> dict[Any, dict[str, float]]:
    """What is used, by ``project_id`` or ``created_by_id``, for lists of all of them."""
    rows = Instance.objects.order_by().values(column).annotate(**_sums(rules))
    found = {row.pop(column): {name: value or 0 for name, value in row.items()} for row in rows}
    for item in [*_under_way(), *_standalone()]:
        if not item.get("only_node"):
            _add(found.setdefault(item[column], dict.fromkeys(AMOUNTS, 0)), item)
    return found


def _usage(
    scope: Scope, rules: SiteRules, active: list[dict[str, Any]], volumes: list[dict[str, Any]]
) -> dict[str, float]:
    rows = Instance.objects.filter(**{scope.key: scope.pk}) if scope.key else Instance.objects.all()
    used: dict[str, float] = {name: value or 0 for name, value in rows.aggregate(**_sums(rules)).items()}
    for item in [*active, *volumes]:
        is_meant = scope.kind == "node" or not item.get("only_node")
        if is_meant and (not scope.key or item[scope.key] == scope.pk):
            _add(used, item)
    return used


def _sums(rules: SiteRules) -> dict[str, Any]:
    cpu = Coalesce(F("cpu_cores"), Value(rules.assumed_cpu_cores), output_field=FloatField())
    return {
        "instances": Count("id"),
        "cpu_cores": Sum(cpu),
        "memory_bytes": Sum(Coalesce(F("memory_bytes"), Value(rules.assumed_memory_bytes))),
        "storage_bytes": Sum("storage_bytes"),
    }


def _standalone() -> list[dict[str, Any]]:
    """Volumes that were asked for by themselves; those of instances count with these."""
    rows = Resource.objects.filter(kind="volume", data__standalone=True)
    columns = ("project_id", "created_by_id", "node_id", "data")
    return [
        {
            "project_id": project,
            "created_by_id": user,
            "node_id": node,
            "storage_bytes": int(data.get("capacity", 0)),
        }
        for project, user, node, data in rows.values_list(*columns)
    ]


def _under_way() -> list[dict[str, Any]]:
    """What active operations have reserved."""
    rows = Operation.objects.filter(Q(state__in=sorted(ACTIVE_OPERATION_STATES)), params__has_key=RESERVES)
    found = []
    for project, user, node, params in rows.values_list("project_id", "user_id", "node_id", "params"):
        reserved = params[RESERVES]
        target = reserved.get("node")
        found.append(
            {
                "project_id": project,
                # What somebody else's instance grows by is its creator's.
                "created_by_id": uuid.UUID(reserved["user"]) if reserved.get("user") else user,
                "node_id": uuid.UUID(target) if target else node,
                "only_node": bool(target),
                **{name: reserved.get(name, 0) for name in AMOUNTS},
            }
        )
    return found


def _add(used: dict[str, float], item: Mapping[str, Any]) -> None:
    for name in AMOUNTS:
        used[name] = used.get(name, 0) + item.get(name, 0)


def _limits(maximums: Mapping[str, Any]) -> tuple[tuple[str, str, float | None], ...]:
    return tuple((column, amount, maximums[column]) for column, amount in MAXIMUMS.items())


def _of_file(given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration says gigabytes, and 0 for no limit."""
    return {
        "max_instances": given["max_instances"] or None,
        "max_cpu_cores": given["max_cpu_cores"] or None,
        "max_memory_bytes": int(given["max_memory_gb"] * _GIB) if given["max_memory_gb"] else None,
        "max_storage_bytes": int(given["max_storage_gb"] * _GIB) if given["max_storage_gb"] else None,
    }


def _narrower(one: Any, other: Any) -> Any:
    both = [value for value in (one, other) if value is not None]
    return min(both) if both else None
