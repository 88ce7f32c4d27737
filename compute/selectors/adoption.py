"""Every read about what was made outside LibGo, and of the standing rules that adopt it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from django.db.models import Count, QuerySet

from compute.actor import Actor
from compute.errors import ComputeError, NotFound
from compute.models import AdoptionRule, Instance, Node
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name
from compute.selectors.instances import STACK_LABEL
from compute.selectors.page import Page, page_bounds, time_text


@dataclass(frozen=True)
class AdoptionFilter:
    """Conditions that must all hold; empty means any. ``node`` is a name or an id; ``name``, ``image`` and
    ``network`` are patterns as in file names (``*``, ``?``), as are the values of ``labels``."""

    node: str = ""
    backend: str = ""
    name: str = ""
    image: str = ""
    network: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def matches(self, row: Instance) -> bool:
        if self.node and self.node not in (row.node.name, str(row.node_id)):
            return False
        if self.backend not in ("", row.backend):
            return False
        networks = [str(each.get("network") or "") for each in row.networks]
        return (
            _like(self.name, row.name)
            and _like(self.image, row.image)
            and (not self.network or any(_like(self.network, each) for each in networks))
            and all(
                key in row.engine_labels and _like(pattern, str(row.engine_labels[key]))
                for key, pattern in self.labels.items()
            )
        )


def _like(pattern: str, text: str) -> bool:
    return not pattern or fnmatchcase(text, pattern)


def unmanaged(actor: Actor) -> QuerySet[Instance]:
    """What was made outside and adopted by nobody, by node and name, as far as the actor sees it."""
    rows = Instance.objects.filter(managed=False).exclude(engine_id="").select_related("node", "project")
    return visible(actor, rows).order_by("node__name", "name", "id")


def unmanaged_matching(actor: Actor, wanted: AdoptionFilter) -> list[Instance]:
    return [row for row in unmanaged(actor).defer("config", "storage") if wanted.matches(row)]


def unmanaged_by_node(actor: Actor) -> list[dict[str, Any]]:
    """``[{"node": name, "count": n}]``, only nodes that have any."""
    rows = unmanaged(actor).order_by("node__name").values("node__name").annotate(n=Count("pk"))
    return [{"node": row["node__name"], "count": row["n"]} for row in rows]


def unmanaged_count(actor: Actor, node: Node) -> int:
    return unmanaged(actor).filter(node=node).count()


def stack_of(row: Instance) -> str:
    """The Compose stack whose child it is; empty for none."""
    return str(row.engine_labels.get(STACK_LABEL, ""))


def candidate_dict(row: Instance, error: ComputeError | None) -> dict[str, Any]:
    """One line of a preview; ``error`` says why it would not be adopted."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "type": row.type,
        "backend": row.backend,
        "node": row.node.name,
        "image": row.image,
        "state": row.state,
        "stack": stack_of(row),
        "error": None if error is None else {"code": error.code, "message": error.message},
    }


def adoption_rules_page(page: int = 1, page_size: int = 50) -> Page:
    """In the order in which they are asked."""
    start, end = page_bounds(page, page_size)
    rows = _rules()
    return Page([adoption_rule_dict(row) for row in rows[start:end]], rows.count(), page, page_size)


def adoption_rule_get(id_or_name: str | uuid.UUID) -> AdoptionRule:
    """Raises ``NotFound``."""
    row = _rules().filter(by_id_or_name(id_or_name)).first()
    if row is None:
        raise NotFound(f"There is no adoption rule “{str(id_or_name)[:100]}”.")
    return row


def adoption_rules_enabled() -> list[AdoptionRule]:
    return list(_rules().filter(is_enabled=True))


def adoption_rule_filter(row: AdoptionRule) -> AdoptionFilter:
    return AdoptionFilter(
        node=str(row.node_id or ""),
        backend=row.backend,
        name=row.instance_name,
        image=row.image,
        network=row.network,
        labels=row.labels,
    )


def adoption_rule_dict(row: AdoptionRule) -> dict[str, Any]:
    """The public shape."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "position": row.position,
        "project": {"id": str(row.project_id), "name": row.project.name},
        "owner": row.owner.get_username() if row.owner else None,
        "enabled": row.is_enabled,
        "filter": {
            "node": row.node.name if row.node else "",
            "backend": row.backend,
            "name": row.instance_name,
            "image": row.image,
            "network": row.network,
            "labels": row.labels,
        },
        "adopted_total": row.adopted_total,
        "last_adopted_at": time_text(row.last_adopted_at),
        "problem": row.problem or None,
        "problem_at": time_text(row.problem_at),
        "created_at": time_text(row.created_at),
        "updated_at": time_text(row.updated_at),
    }


def _rules() -> QuerySet[AdoptionRule]:
    return AdoptionRule.objects.select_related("project", "node", "owner").order_by("position", "name")
