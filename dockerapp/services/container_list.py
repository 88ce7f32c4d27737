"""The list of containers, with the engine's own filters: they may sort out, never let in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compute.actor import Actor
from compute.errors import InvalidInput
from compute.models import Node, Resource
from compute.selectors.instances import InstanceFilter, instances_page
from compute.selectors.page import PAGE_SIZE_MAX, Page
from compute.selectors.resources import resources_visible
from compute.services.nodes import node_require
from compute.states import InstanceState
from dockerapp.selectors.containers import container_get
from dockerapp.selectors.nodes import BACKEND, docker_node, docker_of

# The engine's own filters (API 1.41). Their values may name things, so what they name must be visible.
_KNOWN = frozenset(
    "ancestor before expose exited health id isolation is-task label name network publish since status "
    "volume".split()
)
_REFERENCES = {"volume": "volume", "network": "network", "ancestor": "image"}
_VALUES_MAX = 50
_LIVE = (InstanceState.RUNNING, InstanceState.PAUSED)

Filters = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class ContainerList:
    """``stopped`` also lists those that do not run; so does ``limit``, which gives the newest only."""

    stopped: bool = False
    limit: int = 0
    filters: Filters | None = None
    listing: InstanceFilter = InstanceFilter()


def containers_page(actor: Actor, wanted: ContainerList) -> Page:
    """Rows of the mirror. Raises ``BackendUnavailable`` when an engine should filter and is away."""
    everything = wanted.stopped or bool(wanted.limit)
    listing = replace(wanted.listing, backend=BACKEND)
    if wanted.filters:
        ids = _matching(actor, wanted.filters, listing.node, stopped=everything)
        listing = replace(listing, engine_ids=ids)
    elif not everything:
        listing = replace(listing, states=_LIVE)
    if not wanted.limit:
        return instances_page(actor, listing)
    size = min(wanted.limit, PAGE_SIZE_MAX)
    page = instances_page(actor, replace(listing, sort=["-created_at"], page=1, page_size=size))
    return replace(page, total=len(page.items))


def filters_parse(name: str, text: str) -> dict[str, list[str]]:
    """``{"status": ["running"]}`` or, as older clients write it, ``{"status": {"running": true}}``."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput.field(name, "must be JSON such as {“status”: [“exited”]}.") from error
    if not isinstance(given, dict):
        raise InvalidInput.field(name, "must be a JSON object.")
    found: dict[str, list[str]] = {}
    for key, values in given.items():
        if key not in _KNOWN:
            raise InvalidInput.field(f"{name}.{key}"[:80], f"is not one of {', '.join(sorted(_KNOWN))}.")
        items = [word for word, wanted in values.items() if wanted] if isinstance(values, dict) else values
        if not isinstance(items, list) or len(items) > _VALUES_MAX or not all(map(_is_word, items)):
            raise InvalidInput.field(f"{name}.{key}", f"must be a list of at most {_VALUES_MAX} texts.")
        if items:
            found[key] = [str(item) for item in items]
    return found


def _is_word(item: Any) -> bool:
    return isinstance(item, (str, int)) and "\x00" not in str(item)


def _matching(actor: Actor, filters: Filters, node: str, *, stopped: bool) -> set[str]:
    """Engine ids that the filters let through, on one node or on all that answer."""
    nodes, asked = _nodes(actor, node), dict(filters)
    for key in ("before", "since"):
        for value in asked.get(key, ()):
            row = container_get(actor, value, node)
            nodes = [item for item in nodes if item.pk == row.node_id]
            asked[key] = [row.engine_id]
    for key, kind in _REFERENCES.items():
        if key in asked:
            asked[key] = [value for value in asked[key] if not _is_hidden(actor, kind, value)]
            if not asked[key]:
                return set()
    return {
        engine_id
        for item in nodes
        for engine_id in docker_of(item).containers.matching(asked, stopped=stopped)
    }


def _nodes(actor: Actor, node: str) -> list[Node]:
    if node:
        found = docker_node(actor, node)
        node_require(found)
        return [found]
    nodes = list(Node.objects.filter(backend=BACKEND, is_enabled=True))
    if not any(item.is_reachable for item in nodes):
        for item in nodes[:1]:
            node_require(item)
    return [item for item in nodes if item.is_reachable]


def _is_hidden(actor: Actor, kind: str, value: str) -> bool:
    """Whether it names something that is there, but not for this person."""
    if actor.is_admin:
        return False
    rows = Resource.objects.filter(kind=kind).exclude(pk__in=resources_visible(actor, kind).values("pk"))
    return any(_names(row, value) for row in rows)


def _names(row: Resource, value: str) -> bool:
    tags = row.data.get("tags") or []
    known = {row.name, row.engine_id, *tags, *(tag.rpartition(":")[0] for tag in tags)}
    plain = value.removeprefix("sha256:")
    return value in known or (len(plain) >= 4 and row.engine_id.removeprefix("sha256:").startswith(plain))
