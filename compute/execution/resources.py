"""Make the rows of images, networks and volumes equal to what an engine lists.

The same rule as for instances: a complete list is the truth, events only say when to list again.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from compute.backends.base import Backend
from compute.backends.registry import backend_registration
from compute.backends.types import LABEL_PROJECT, Grants, ResourceInfo
from compute.events import Fact, events_publish
from compute.execution.looks import clock_bound
from compute.models import Node, Operation, Project, Resource, ResourceLook
from compute.selectors.access import operation_actor
from compute.selectors.prepared import Prepared
from compute.selectors.resource_users import USED_KINDS, projects_using
from compute.states import ACTIVE_OPERATION_STATES

Marks = Callable[[Node, str, Sequence[ResourceInfo]], Sequence[ResourceInfo]]


def resources_look(node: Node, backend: Backend, *kinds: str) -> None:
    """List these kinds and write what was seen. Raises what ``Backend.resource_list`` raises."""
    for kind in kinds:
        began = timezone.now()
        resources_observe_complete(node, kind, backend.resource_list(kind), began)


def resources_observe_complete(
    node: Node, kind: str, infos: Sequence[ResourceInfo], looked_at: datetime | None = None
) -> None:
    """Write a complete list of one kind; what it does not hold is gone. Tells one fact per kind and
    change, ``<kind>.changed``, however many changed. A list that began, at ``looked_at``, before the one
    that was written last knows less than is known, and changes nothing."""
    infos = _marked(node, kind, infos)
    with transaction.atomic():
        if not _is_newest(node, kind, looked_at or timezone.now()):
            return
        rows = {row.engine_id: row for row in Resource.objects.filter(node=node, kind=kind)}
        projects = _projects(infos)
        seen: set[str] = set()
        created: list[Resource] = []
        makers = _makers(node, kind) if {info.engine_id for info in infos} - rows.keys() else {}
        changed = 0
        for info in infos:
            if info.engine_id in seen:
                continue
            seen.add(info.engine_id)
            columns = _columns(info, projects)
            row = rows.get(info.engine_id)
            if row is None:
                maker = makers.get(info.engine_id) or makers.get(info.name)
                new = Resource(node=node, kind=kind, engine_id=info.engine_id[:255], **columns)
                new.created_by_id = maker
                created.append(new)
            elif news := _news(row, columns):
                # Only these: its size may be written by who measured it meanwhile.
                row.save(update_fields=[*news, "updated_at"])
                changed += 1
        Resource.objects.bulk_create(created)
        gone = [row.pk for engine_id, row in rows.items() if engine_id not in seen]
        Resource.objects.filter(pk__in=gone).delete()
        if created or changed or gone:
            events_publish([_fact(node, kind, len(created), changed, len(gone))])
        if kind in USED_KINDS:
            owners_settle(node)


def _makers(node: Node, kind: str) -> dict[str, uuid.UUID | None]:
    """By what it is called, who is having one made right now."""
    rows = Operation.objects.filter(
        node=node,
        action__in=(f"{kind}.create", f"{kind}.clone"),
        state__in=sorted(ACTIVE_OPERATION_STATES),
    )
    return dict(rows.values_list("target", "user_id"))


def _is_newest(node: Node, kind: str, looked_at: datetime) -> bool:
    """Note the time of a look, unless a later one was written already; others wait for the row."""
    looks = ResourceLook.objects.filter(node=node, kind=kind)
    counts = Q(looked_at__lte=looked_at) | Q(looked_at__gt=clock_bound())
    if looks.filter(counts).update(looked_at=looked_at):
        return True
    _, is_first = ResourceLook.objects.get_or_create(node=node, kind=kind, defaults={"looked_at": looked_at})
    return is_first


def _marked(node: Node, kind: str, infos: Sequence[ResourceInfo]) -> Sequence[ResourceInfo]:
    """With the projects that the backend's app keeps itself, where the engine has no place for a mark."""
    dotted_path = backend_registration(node.backend).marks
    if not dotted_path:
        return infos
    module, _, name = dotted_path.rpartition(".")
    return cast(Marks, getattr(importlib.import_module(module), name))(node, kind, infos)


def owner_of(mark: str, users: set[uuid.UUID], before: uuid.UUID | None) -> uuid.UUID | None:
    """Whose a network or a volume is; None: the host's. ``mark``: the project that was written on it
    when it was made; ``users``: the projects of the instances that use it now.

    The mark decides. What has none was made outside, or by the engine for an instance: it belongs to
    the one project whose instances use it, to the host as soon as there are several, and while
    nobody uses it to whom it belonged before.
    """
    if mark:
        return before
    if not users:
        return before
    return next(iter(users)) if len(users) == 1 else None


_CALLED = Prepared(
    lambda node, kind, name: Resource.objects.filter(node=node, kind=kind, name=name), keys=1, texts=2
)


def owners_settle(node: Node, changed_of: Collection[tuple[str, str]] | None = None) -> None:
    """Apply :func:`owner_of` to what bears no mark, whenever such things or their users changed: to those of
    ``changed_of``, ``{(kind, name)}``, or to all. What the engine brings along, and what belongs to the host
    whoever uses it, stays the host's."""
    if changed_of is None:
        rows = list(Resource.objects.filter(node=node, kind__in=USED_KINDS))
    else:
        rows = [row for kind, name in sorted(changed_of) for row in _CALLED.rows(node.pk, kind, name)]
    rows = [row for row in rows if not _mark(row)]
    rows = [row for row in rows if not (row.data.get("predefined") or row.data.get("of_host"))]
    if not rows:
        return
    users = projects_using(node)
    changed: dict[str, int] = {}
    for row in rows:
        owner = owner_of("", users.get((row.kind, row.name), set()), row.project_id)
        if owner != row.project_id:
            Resource.objects.filter(pk=row.pk).update(project_id=owner)
            changed[row.kind] = changed.get(row.kind, 0) + 1
    events_publish([_fact(node, kind, 0, count, 0) for kind, count in sorted(changed.items())])


_OWNED = Prepared(
    lambda node, project: Resource.objects.filter(node=node, project=project, kind__in=USED_KINDS), keys=2
)


def grants_of(operation: Operation, project_id: uuid.UUID) -> Grants:
    """What the one who asked for ``operation`` may use on its node for an instance of this project:
    read when it is used, so a right that was taken away in between is gone."""
    rows = [] if operation.node_id is None else _OWNED.rows(operation.node_id, project_id)
    own = {f"{row.kind}:{row.name}" for row in rows if not _mark(row)}
    return Grants(operation_actor(operation).is_admin, frozenset(own))


def _mark(row: Resource) -> str:
    return str((row.data.get("labels") or {}).get(LABEL_PROJECT, ""))


def _columns(info: ResourceInfo, projects: dict[str, Project]) -> dict[str, Any]:
    project = projects.get(info.project_id)
    return {
        "name": info.name[:255],
        "project": project,
        "is_foreign": bool(info.project_id) and project is None,
        "size_bytes": info.size_bytes,
        "data": dict(info.data),
        "created_at": info.created_at,
    }


def _news(row: Resource, columns: dict[str, Any]) -> list[str]:
    """The columns in which anything is new; written on the row. What the engine does not tell stays as it was
    known, unless another thing of the same name has taken the place."""
    if columns["created_at"] == row.created_at:
        untold = {key for key in ("project", "size_bytes") if columns[key] is None}
        columns = {key: value for key, value in columns.items() if key not in untold}
    found = {key: value for key, value in columns.items() if getattr(row, key) != value}
    for key, value in found.items():
        setattr(row, key, value)
    return sorted(found)


def _projects(infos: Iterable[ResourceInfo]) -> dict[str, Project]:
    wanted = {text for info in infos if (text := info.project_id) and _is_uuid(text)}
    return {str(row.pk): row for row in Project.objects.filter(pk__in=wanted)} if wanted else {}


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _fact(node: Node, kind: str, created: int, changed: int, gone: int) -> Fact:
    """Counts only: the fact goes to everyone, and names may belong to one project."""
    counts = {"new": created, "changed": changed, "gone": gone}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return Fact(f"{kind}.changed", f"{kind.capitalize()}s on {node.name}: {told}.", node=node, details=counts)
