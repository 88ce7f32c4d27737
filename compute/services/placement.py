"""On which node something new goes: by name, by labels, or where most room is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from compute.actor import Actor
from compute.backends.registry import backend_class
from compute.errors import BackendUnavailable, InvalidInput
from compute.models import Node
from compute.selectors.limits import SiteRules, node_ratio, nodes_used, site_rules
from compute.selectors.nodes import node_get
from compute.selectors.prepared import Prepared
from compute.services.instance_body import labels_check
from compute.services.limits import Amounts
from compute.services.nodes import node_require

_ENABLED = Prepared(
    lambda name: Node.objects.filter(backend=name, is_enabled=True).order_by("is_draining", "name"),
    keys=0,
    texts=1,
)


def nodes_fit(
    actor: Actor,
    backend: str | None,
    node: str | None,
    labels: Mapping[str, Any] | None = None,
    wanted: Amounts | None = None,
) -> list[Node]:
    """Where it may go, the one with most room first; at least one. ``node`` (id or name) leaves only
    that one, ``labels`` those that bear all of these. Drained, disabled and unreachable ones take nothing.

    Raises ``InvalidBackend``, ``NodeNotFound``, ``InvalidInput``, ``BackendUnavailable``,
    ``InvalidState``.
    """
    needed = labels_check("node_labels", labels or {})
    if node:
        return [_named(actor, backend, node, needed)]
    name = backend or settings.LIBGO["compute"]["default_backend"]
    backend_class(name)
    enabled = _ENABLED.rows(name)
    if not enabled:
        raise BackendUnavailable(f"No node of the backend “{name}” is switched on.", backend=name)
    bearing = [row for row in enabled if _bears(row, needed)]
    if not bearing:
        words = ", ".join(f"{key}={value}" for key, value in sorted(needed.items()))
        raise InvalidInput.field("node_labels", f"no node of the backend {name} bears all of: {words}.")
    ready = [row for row in bearing if row.is_reachable and not row.is_draining]
    if not ready:
        # Says what is the matter with it.
        node_require(bearing[0], for_new=True)
    return _by_room(ready, wanted or Amounts(instances=1))


def node_pick(actor: Actor, backend: str | None, node: str | None) -> Node:
    """The first of ``nodes_fit``."""
    return nodes_fit(actor, backend, node)[0]


def _named(actor: Actor, backend: str | None, node: str, labels: Mapping[str, str]) -> Node:
    found = node_get(actor, node)
    if backend and found.backend != backend:
        raise InvalidInput.field("node", f"{found.name} is a {found.backend} node, not {backend}.")
    if not _bears(found, labels):
        raise InvalidInput.field("node_labels", f"{found.name} does not bear all of these; name no node.")
    backend_class(found.backend)
    node_require(found, for_new=True)
    return found


def _bears(node: Node, labels: Mapping[str, str]) -> bool:
    return all(node.labels.get(key) == value for key, value in labels.items())


def _by_room(nodes: list[Node], wanted: Amounts) -> list[Node]:
    """By the share that would be left of the scarcer of CPU and memory, as often as it may be given away."""
    if len(nodes) == 1:
        return nodes
    rules = site_rules()
    used = nodes_used(rules, nodes)
    return sorted(nodes, key=lambda node: (-_room(node, rules, used[node.pk], wanted), node.name))


def _room(node: Node, rules: SiteRules, used: Mapping[str, float], wanted: Amounts) -> float:
    """1 is empty; below 0 more is given away than there is."""
    shares = []
    for total, ratio, amount in (
        (node.cpu_cores, node_ratio(node, rules, "cpu_overcommit"), "cpu_cores"),
        (node.memory_bytes, node_ratio(node, rules, "memory_overcommit"), "memory_bytes"),
    ):
        if total:
            shares.append(1 - (used[amount] + getattr(wanted, amount)) / (total * (ratio or 1)))
    # What was never seen comes after what has room.
    return min(shares, default=0.0)
