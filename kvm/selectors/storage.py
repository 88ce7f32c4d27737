"""Every read of pools, volumes and images: from the mirror."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, QuerySet

from compute.actor import Actor
from compute.errors import ImageNotFound, InvalidInput, PoolNotFound, VolumeNotFound
from compute.models import Instance, Node, Operation, Project, Resource, ResourceLook
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name
from compute.selectors.nodes import backend_node
from compute.selectors.page import Page, order_by, page_bounds
from compute.selectors.resources import SORT_COLUMNS, resource_dict, resources_visible
from kvm.selectors.nodes import BACKEND

POOL, VOLUME, IMAGE = "pool", "volume", "image"
# After these a machine may have fewer disks or media than before.
_LETTING_GO = (
    "instance.define",
    "instance.delete",
    "instance.drive_remove",
    "instance.medium_change",
    "instance.migrate",
    "instance.restore",
    "instance.snapshot_delete",
    "instance.storage_detach",
)


@dataclass(frozen=True)
class StorageFilter:
    """Empty means "any"; ``in_use`` None: used or not. ``q`` searches the name and the pool."""

    q: str = ""
    node: str = ""
    project: str = ""
    type: str = ""
    state: str = ""
    pool: str = ""
    disk_format: str = ""
    kind: str = ""
    in_use: bool | None = None
    sort: list[str] = field(default_factory=list)
    page: int = 1
    page_size: int = 50


def pools_page(actor: Actor, wanted: StorageFilter) -> Page:
    """Pools are the host's: every member sees them."""
    return _page(actor, POOL, wanted, pool_dicts)


def pool_row(actor: Actor, wanted: str | uuid.UUID, node: str = "") -> Resource:
    """By name, LibGo's id or libvirt's, on the node that is meant (without a wish the default one, else
    the only one that has it). Raises ``PoolNotFound``."""
    name = str(wanted)
    rows = resources_visible(actor, POOL).filter(node__backend=BACKEND)
    rows = rows.filter(by_id_or_name(name) | Q(name=name) | Q(engine_id=name))
    found = _one(actor, rows, node)
    if found is None:
        raise PoolNotFound(f"There is no storage pool “{name[:100]}”.", name=name[:100])
    return found


def pool_dicts(actor: Actor, rows: Iterable[Resource]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        shown = resource_dict(row)
        # The project of what belongs to the host, and what is the mirror's own.
        for key in ("of_host", "project", "size_bytes", "created_at"):
            shown.pop(key, None)
        found.append(shown)
    return found


def volumes_page(actor: Actor, pool: Resource, wanted: StorageFilter) -> Page:
    """The volumes of one pool that the actor may see, with who uses them."""
    return _page(actor, VOLUME, wanted, volume_dicts, Q(node=pool.node, data__pool=pool.name))


def volume_row(actor: Actor, pool: str, name: str, node: str = "") -> Resource:
    """By name or LibGo's id. Raises ``PoolNotFound``, ``VolumeNotFound`` for what is not visible."""
    at = pool_row(actor, pool, node)
    rows = resources_visible(actor, VOLUME).filter(node=at.node, data__pool=at.name)
    found = rows.filter(by_id_or_name(name) | Q(name=name)).first()
    if found is None:
        raise VolumeNotFound(
            f"There is no volume “{name[:100]}” in the pool {at.name}.", name=name[:100], pool=at.name
        )
    return found


def volume_by_id(actor: Actor, volume_id: str | uuid.UUID) -> Resource:
    """Raises ``VolumeNotFound``."""
    rows = resources_visible(actor, VOLUME).filter(node__backend=BACKEND)
    found = rows.filter(by_id_or_name(str(volume_id))).first()
    if found is None:
        raise VolumeNotFound("There is no such volume.")
    return found


def volume_dicts(actor: Actor, rows: Iterable[Resource]) -> list[dict[str, Any]]:
    """The public shape: of the machines and the copies only those that the actor sees."""
    return _with_users(actor, list(rows))


def images_page(actor: Actor, wanted: StorageFilter) -> Page:
    """Templates and ISOs: the host's, and those of the actor's projects."""
    return _page(actor, IMAGE, wanted, image_dicts)


def image_row(actor: Actor, asked: str | uuid.UUID, node: str = "") -> Resource:
    """By LibGo's id, ``pool/name`` or name. Raises ``ImageNotFound``."""
    wanted = str(asked)
    rows = resources_visible(actor, IMAGE).filter(node__backend=BACKEND)
    rows = rows.filter(by_id_or_name(wanted) | Q(name=wanted) | Q(engine_id=wanted))
    found = _one(actor, rows, node)
    if found is None:
        raise ImageNotFound(f"There is no image “{wanted[:100]}”.", image=wanted[:100])
    return found


def image_dicts(actor: Actor, rows: Iterable[Resource]) -> list[dict[str, Any]]:
    return _with_users(actor, list(rows))


def image_for_project(node: Node, project: Project, name: str, pool: str = "") -> Resource | None:
    """The image of this name (``pool/name``, with or without its suffix) that a machine of the project
    may be made from; None when there is none, or it is another project's."""
    names = [name, *(f"{name}{suffix}" for suffix in (".qcow2", ".img", ".raw", ".iso"))]
    rows = Resource.objects.filter(node=node, kind=IMAGE).filter(Q(project=None) | Q(project=project))
    rows = rows.filter(Q(name__in=names) | Q(engine_id=name))
    if pool:
        rows = rows.filter(data__pool=pool)
    return rows.order_by("name").first()


def instances_using(row: Resource) -> list[Instance]:
    """Whoever they belong to."""
    ids = {use["engine_id"] for use in row.data.get("domains", [])}
    return list(Instance.objects.filter(node_id=row.node_id, engine_id__in=ids).order_by("name"))


def users_may_be_gone(row: Resource) -> bool:
    """Whether a machine may have let go of it since the list that ``row`` was read from had begun."""
    look = ResourceLook.objects.filter(node=row.node_id, kind=row.kind).first()
    ended = Operation.objects.filter(node=row.node_id, action__in=_LETTING_GO)
    return look is not None and ended.filter(finished_at__gt=look.looked_at).exists()


def _one(actor: Actor, rows: QuerySet[Resource], node: str) -> Resource | None:
    """The one that is meant: on the node asked for, else the only one, else the default node's."""
    if node:
        return rows.filter(node=backend_node(actor, BACKEND, node)).first()
    found = list(rows.order_by("-node__is_local", "node__name", "engine_id")[:3])
    if len(found) > 1:
        local = [row for row in found if row.node.is_local]
        if len(local) != 1:
            raise InvalidInput.field(
                "node", "there are several of that name; say on which node, or give its id."
            )
        return local[0]
    return found[0] if found else None


def _page(actor: Actor, kind: str, wanted: StorageFilter, shapes: Any, more: Q | None = None) -> Page:
    start, end = page_bounds(wanted.page, wanted.page_size)
    rows = resources_visible(actor, kind).filter(more or Q(), node__backend=BACKEND)
    if wanted.node:
        rows = rows.filter(node=backend_node(actor, BACKEND, wanted.node))
    if wanted.project:
        rows = rows.filter(by_id_or_name(wanted.project, id_column="project_id", name_column="project__name"))
    if wanted.disk_format:
        rows = rows.filter(data__format=wanted.disk_format)
    for name in ("type", "state", "pool", "kind", "in_use"):
        value = getattr(wanted, name)
        if value not in ("", None):
            rows = rows.filter(**{f"data__{name}": value})
    if wanted.q:
        rows = rows.filter(Q(name__icontains=wanted.q) | Q(data__pool__icontains=wanted.q))
    ordering = order_by(wanted.sort or ["name"], SORT_COLUMNS, "id")
    found: list[dict[str, Any]] = shapes(actor, rows.order_by(*ordering)[start:end])
    return Page(found, rows.count(), wanted.page, wanted.page_size)


def _with_users(actor: Actor, rows: list[Resource]) -> list[dict[str, Any]]:
    uses = {use["engine_id"] for row in rows for use in row.data.get("domains", [])}
    copies = {name for row in rows for name in row.data.get("copies", [])}
    nodes = {row.node_id for row in rows}
    machines = {
        (item["node_id"], item["engine_id"]): item
        for item in visible(actor, Instance.objects.filter(node_id__in=nodes, engine_id__in=uses)).values(
            "id", "name", "state", "node_id", "engine_id"
        )
    }
    seen = set(
        resources_visible(actor, VOLUME)
        .filter(node_id__in=nodes, engine_id__in=copies)
        .values_list("node_id", "engine_id")
    )
    return [_shape(row, machines, seen) for row in rows]


def _shape(
    row: Resource,
    machines: Mapping[tuple[uuid.UUID, str], Mapping[str, Any]],
    seen: set[tuple[uuid.UUID, str]],
) -> dict[str, Any]:
    shown = resource_dict(row)
    domains, copies = shown.pop("domains", []), shown.pop("copies", [])
    shown.pop("created_at")
    shown.pop("standalone", None)
    users = []
    for use in domains:
        machine = machines.get((row.node_id, use["engine_id"]))
        if machine is not None:
            user = {"id": str(machine["id"]), "name": machine["name"], "state": machine["state"]}
            users.append({**user, "target": use["target"], "readonly": use.get("readonly", False)})
    shown["machines"] = users
    shown["copies"] = [name for name in copies if (row.node_id, name) in seen]
    return shown
