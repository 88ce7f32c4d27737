"""Limits of the site and of projects, checked under one lock so that two creates cannot both
take the last place."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Count, Sum

from compute.backends.types import Resources
from compute.errors import ResourceLimitExceeded
from compute.models import Instance, Operation, Project, Resource
from compute.selectors.cluster import site_limits
from compute.states import ACTIVE_OPERATION_STATES

# In the params of an operation that makes instances without a row each beforehand: what it will add.
# Counted while it is active, so in part twice when some are there already; never too little.
RESERVES = "reserves"

_COLUMNS = {
    "max_instances": "instances",
    "max_cpu_cores": "cpu_cores",
    "max_memory_bytes": "memory_bytes",
    "max_storage_bytes": "storage_bytes",
}


def limits_lock() -> None:
    """Serialise everything that adds instances or resources, until the transaction ends."""
    Project.objects.select_for_update().filter(is_default=True).first()


def limits_check(
    project: Project, asked: Resources, *, instances: int = 1, but: uuid.UUID | None = None
) -> None:
    """Raises ``ResourceLimitExceeded``. ``but`` leaves one instance out of what is used (update:
    its new values count instead). Call under ``limits_lock``."""
    wanted = {
        "instances": instances,
        "cpu_cores": asked.cpu_cores or 0,
        "memory_bytes": asked.memory_bytes or 0,
        "storage_bytes": asked.storage_bytes or 0,
    }
    own = {name: getattr(project, name) for name in _COLUMNS}
    _check("site", site_limits(), _used(None, but), wanted)
    _check(f"project {project.name}", own, _used(project, but), wanted)


def _used(project: Project | None, but: uuid.UUID | None) -> dict[str, Any]:
    rows = Instance.objects.exclude(pk=but) if but else Instance.objects.all()
    if project is not None:
        rows = rows.filter(project=project)
    used = rows.aggregate(
        instances=Count("id"),
        cpu_cores=Sum("cpu_cores"),
        memory_bytes=Sum("memory_bytes"),
        storage_bytes=Sum("storage_bytes"),
    )
    used["storage_bytes"] = (used["storage_bytes"] or 0) + _standalone(project)
    for reserved in _reserved(project):
        used = {column: (value or 0) + reserved.get(column, 0) for column, value in used.items()}
    return used


def _standalone(project: Project | None) -> int:
    """Volumes that were asked for by themselves; those of instances count with these."""
    rows = Resource.objects.filter(kind="volume", data__standalone=True)
    if project is not None:
        rows = rows.filter(project=project)
    return sum(int(data.get("capacity", 0)) for data in rows.values_list("data", flat=True))


def _reserved(project: Project | None) -> list[dict[str, Any]]:
    active = Operation.objects.filter(state__in=sorted(ACTIVE_OPERATION_STATES), params__has_key=RESERVES)
    if project is not None:
        active = active.filter(project=project)
    return [params[RESERVES] for params in active.values_list("params", flat=True)]


def _check(scope: str, limits: dict[str, Any], used: dict[str, Any], wanted: dict[str, Any]) -> None:
    for limit, column in _COLUMNS.items():
        maximum, asked, now = limits[limit], wanted[column], used[column] or 0
        if maximum is not None and asked and now + asked > maximum:
            raise ResourceLimitExceeded(
                f"The {scope} allows {column.replace('_', ' ')} up to {maximum}; {now} is used and "
                f"{asked} more was asked for.",
                limit=limit,
                scope=scope,
                maximum=maximum,
                used=now,
                asked=asked,
            )
