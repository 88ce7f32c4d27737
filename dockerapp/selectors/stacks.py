"""Every read of stacks: those deployed from here, and those that Compose made elsewhere."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from compute.actor import Actor
from compute.backends.types import InstanceInfo
from compute.errors import InvalidInput, NotFound
from compute.models import Instance, Node, Project
from compute.sealing import unseal
from compute.selectors.access import action_allowed, visible
from compute.selectors.identity import by_id_or_name
from compute.selectors.masking import variables_masked
from compute.selectors.page import Page, page_bounds, time_text
from compute.states import ACTIVE_OPERATION_STATES, InstanceState, InstanceType
from dockerapp.labels import LABEL_COMPOSE, LABEL_NUMBER, LABEL_SERVICE, LABEL_STACK
from dockerapp.models import IS_THERE, Stack
from dockerapp.selectors.nodes import BACKEND

SORTS = ("name", "state", "updated_at", "node")


@dataclass(frozen=True)
class StackFilter:
    """Empty means "any"."""

    node: str = ""
    project: str = ""
    q: str = ""
    sort: list[str] = field(default_factory=list)
    page: int = 1
    page_size: int = 50


@dataclass(frozen=True)
class Found:
    """One stack with its instances. ``row`` is None for one that was made outside."""

    name: str
    node: Node
    project: Project
    row: Stack | None
    instances: tuple[Instance, ...]

    @property
    def is_managed(self) -> bool:
        return self.row is not None

    def service_of(self, instance: Instance) -> str:
        return str(instance.engine_labels.get(LABEL_SERVICE, ""))

    def of_service(self, service: str) -> list[Instance]:
        """The instances of one service, or of all. Raises ``InvalidInput`` for an unknown one."""
        if service and service not in self.services():
            known = ", ".join(sorted(self.services())) or "none"
            raise InvalidInput.field("service", f"“{service[:100]}” is not one of {known}.")
        return [row for row in self.instances if not service or self.service_of(row) == service]

    def services(self) -> dict[str, dict[str, Any]]:
        """What is asked for, by service: ``{"image", "replicas"}``."""
        if self.row is not None:
            asked: dict[str, dict[str, Any]] = {name: dict(body) for name, body in self.row.services.items()}
            for name, replicas in self.row.scale.items():
                if name in asked:
                    asked[name]["replicas"] = replicas
            return asked
        found: dict[str, dict[str, Any]] = {}
        for instance in self.instances:
            body = found.setdefault(self.service_of(instance), {"image": instance.image, "replicas": 0})
            body["replicas"] += 1
        return found


def stack_owner(node: Node, info: InstanceInfo) -> Project | None:
    """Whose an instance is that appeared with the marks of a stack. Marks can be forged (an image
    hands its labels on), so stack, node, project, name and service must all be what was deployed."""
    row = _by_mark(node, info.labels.get(LABEL_STACK, ""))
    if row is None or str(row.project_id) != info.project_id:
        return None
    named = info.labels.get(LABEL_COMPOSE) == row.name and info.labels.get(LABEL_SERVICE) in row.services
    return row.project if named else None


def stacks_page(actor: Actor, wanted: StackFilter) -> Page:
    """Two queries, however many stacks there are."""
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = _stacks(actor)
    instances = _instances(actor)
    if wanted.node:
        here = by_id_or_name(wanted.node, id_column="node_id", name_column="node__name")
        rows, instances = rows.filter(here), instances.filter(here)
    if wanted.project:
        own = by_id_or_name(wanted.project, id_column="project_id", name_column="project__name")
        rows, instances = rows.filter(own), instances.filter(own)
    found = [stack_dict(item) for item in _grouped(rows, instances)]
    if wanted.q:
        text = wanted.q.lower()
        found = [item for item in found if text in item["name"].lower() or text in item["search"]]
    for item in found:
        item.pop("search")
    ordered = _sorted(found, wanted.sort or ["name"])
    return Page(ordered[start:end], len(found), wanted.page, wanted.page_size)


def stack_get(actor: Actor, id_or_name: str, node: str = "") -> Found:
    """By id or name, on one node or the only node that has it. Raises ``NotFound``, ``InvalidInput``
    when several nodes have one of that name."""
    here = by_id_or_name(node, id_column="node_id", name_column="node__name") if node else None
    rows, instances = _stacks(actor).filter(by_id_or_name(id_or_name)), _instances(actor)
    if here is not None:
        rows, instances = rows.filter(here), instances.filter(here)
    row = rows[:2]
    names = {item.name for item in row} or {id_or_name}
    wanted = instances.filter(**{f"engine_labels__{LABEL_COMPOSE}__in": sorted(names)})
    found = [
        item
        for item in _grouped(row, wanted)
        if item.name == id_or_name or (item.row and str(item.row.pk) == id_or_name)
    ]
    if len(found) > 1:
        raise InvalidInput.field("node", f"several nodes have a stack “{id_or_name[:100]}”; say which.")
    if not found:
        raise NotFound(f"There is no stack “{id_or_name[:100]}”.", stack=id_or_name[:100])
    return found[0]


def stack_dict(found: Found) -> dict[str, Any]:
    """The public shape, without what only some may read. ``search`` is for the list's own use."""
    services = services_list(found)
    row, last = found.row, found.row.last_operation if found.row else None
    up = sum(item["state"] == "running" for item in services)
    active = last if last is not None and last.state in ACTIVE_OPERATION_STATES else None
    changed = [row.updated_at] if row else [item.updated_at for item in found.instances]
    return {
        "id": str(row.pk) if row else None,
        "name": found.name,
        "managed": found.is_managed,
        "node": {"id": str(found.node.pk), "name": found.node.name, "status": str(found.node.status)},
        "project": {"id": str(found.project.pk), "name": found.project.name},
        "state": _state(services),
        "services_up": up,
        "services_total": len(services),
        "services": services,
        "active_operation": active
        and {
            "id": str(active.pk),
            "action": active.action,
            "state": active.state,
            "progress": active.progress,
            "step": active.step,
        },
        "last_operation": str(last.pk) if last else None,
        "created_at": time_text(row.created_at if row else min(r.created_at for r in found.instances)),
        "updated_at": time_text(max(changed)),
        "search": " ".join(item["image"] for item in services).lower(),
    }


def stack_detail(actor: Actor, found: Found) -> dict[str, Any]:
    """With the compose file and the variables, for those who may change it; secret-looking values of
    variables are masked for everyone."""
    shown = stack_dict(found)
    shown.pop("search")
    may_read = action_allowed(actor, "stack.update", found.project.pk)
    row = found.row if may_read else None
    shown["compose"] = stack_text(row) if row else None
    shown["env"] = variables_masked(stack_env(row)) if row else None
    return shown


def stack_text(row: Stack) -> str:
    """The compose file as it was given."""
    return str(unseal(row.compose_sealed) or "")


def stack_env(row: Stack) -> dict[str, str]:
    """The variables of a stack, unmasked."""
    return dict(unseal(row.env_sealed) or {})


def services_list(found: Found) -> list[dict[str, Any]]:
    """The services, each standing for its instances in the unified list (``type: service``)."""
    by_service: dict[str, list[Instance]] = defaultdict(list)
    for instance in found.instances:
        by_service[found.service_of(instance)].append(instance)
    asked = found.services()
    return [
        _service(name, asked.get(name, {}), by_service.get(name, []))
        for name in sorted({*asked, *by_service} - {""})
    ]


def _service(name: str, asked: Mapping[str, Any], rows: list[Instance]) -> dict[str, Any]:
    rows.sort(key=lambda row: int(row.engine_labels.get(LABEL_NUMBER) or 0))
    running = sum(row.state == InstanceState.RUNNING for row in rows)
    wanted = int(asked.get("replicas", len(rows)))
    health = [row.health for row in rows if row.health and row.state == InstanceState.RUNNING]
    ports = {(p["host_port"], p["port"]) for row in rows for p in row.ports if p.get("host_port")}
    return {
        "name": name,
        "type": InstanceType.SERVICE.value,
        "image": str(asked.get("image") or (rows[0].image if rows else "")),
        "state": _service_state(running, wanted, rows),
        "health": next((word for word in ("unhealthy", "starting", "healthy") if word in health), ""),
        "replicas": wanted,
        "running": running,
        "ports": [{"host_port": outside, "port": inside} for outside, inside in sorted(ports)],
        "instances": [
            {
                "id": str(row.pk),
                "name": row.name,
                "state": row.state,
                "status": row.status,
                "health": row.health,
            }
            for row in rows
        ],
    }


def _instance(row: Instance) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in ("name", "state", "status", "health")}
    return {"id": str(row.pk), **shown}


def _service_state(running: int, wanted: int, rows: list[Instance]) -> str:
    if running and running >= wanted:
        return "running"
    if running:
        return "partial"
    return "stopped" if rows or not wanted else "absent"


def _state(services: list[dict[str, Any]]) -> str:
    """running, partial, stopped or absent (nothing of it is there)."""
    states = {item["state"] for item in services if item["replicas"] or item["running"]}
    if not states or states == {"absent"}:
        return "absent"
    if states == {"running"}:
        return "running"
    return "partial" if states & {"running", "partial"} else "stopped"


def _stacks(actor: Actor) -> QuerySet[Stack]:
    rows = Stack.objects.filter(IS_THERE).select_related("node", "project", "last_operation")
    return visible(actor, rows)


def _instances(actor: Actor) -> QuerySet[Instance]:
    rows = Instance.objects.filter(backend=BACKEND, engine_labels__has_key=LABEL_COMPOSE)
    return visible(actor, rows.select_related("node", "project").defer("config", "networks", "storage"))


def _grouped(rows: Iterable[Stack], instances: Iterable[Instance]) -> list[Found]:
    """Stacks of here with what carries their mark in their project; the rest by name and node."""
    known = {str(row.pk): row for row in rows}
    mine: dict[str, list[Instance]] = defaultdict(list)
    others: dict[tuple[uuid.UUID, str, uuid.UUID], list[Instance]] = defaultdict(list)
    for instance in instances:
        mark = str(instance.engine_labels.get(LABEL_STACK, ""))
        row = known.get(mark)
        if row is not None and (row.node_id, row.project_id) == (instance.node_id, instance.project_id):
            mine[mark].append(instance)
        elif not mark:
            name = str(instance.engine_labels[LABEL_COMPOSE])
            others[(instance.node_id, name, instance.project_id)].append(instance)
    found = [Found(row.name, row.node, row.project, row, tuple(mine[mark])) for mark, row in known.items()]
    taken = {(row.node_id, row.name) for row in known.values()}
    for (node_id, name, _), group in others.items():
        if (node_id, name) not in taken:
            found.append(Found(name, group[0].node, group[0].project, None, tuple(group)))
    return found


def _by_mark(node: Node, mark: str) -> Stack | None:
    try:
        return Stack.objects.select_related("project").filter(pk=uuid.UUID(mark), node=node).first()
    except ValueError:
        return None


def _sorted(items: list[dict[str, Any]], sort: list[str]) -> list[dict[str, Any]]:
    for word in reversed(sort):
        key = word.lstrip("-")
        if key not in SORTS:
            raise InvalidInput.field("sort", f"“{key[:50]}” is not one of {', '.join(SORTS)}.")

        def value(item: dict[str, Any], key: str = key) -> str:
            return str(item["node"]["name"] if key == "node" else item[key] or "")

        items = sorted(items, key=value, reverse=word.startswith("-"))
    return items
