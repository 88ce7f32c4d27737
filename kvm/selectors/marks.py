"""Whose a volume or an image is, and which format it has for certain."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.utils import timezone

from compute.backends.types import ResourceInfo
from compute.models import Instance, Node
from kvm.models import VolumeMark

_OWN = re.compile(r"libgo-vm-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
# A mark whose volume is not there yet belongs to one that is being made.
_STALE_AFTER = timedelta(minutes=15)


def resources_marked(node: Node, kind: str, infos: Sequence[ResourceInfo]) -> list[ResourceInfo]:
    """A complete list of one kind, with the project of each and the format it was made with.

    The mark decides. The disks of an instance are its project's; what has no mark belongs to the one
    project whose instances write to it, else to the host.
    """
    if kind not in ("volume", "image"):
        return list(infos)
    marks = {mark.engine_id: mark for mark in VolumeMark.objects.filter(node=node)}
    projects = _projects(node, infos)
    if kind == "volume":
        _stale_drop(marks, infos)
    found = []
    for info in infos:
        mark = marks.get(info.engine_id)
        if kind == "image" and mark is not None and mark.kind != VolumeMark.IMAGE:
            continue
        found.append(replace(info, **_told(info, mark, projects)))
    return found


def own_instance_id(name: str) -> str:
    """The id of the instance whose own volume this is by its name; empty for others."""
    found = _OWN.match(name)
    return found[1] if found else ""


def _told(info: ResourceInfo, mark: VolumeMark | None, projects: Mapping[str, uuid.UUID]) -> dict[str, Any]:
    data = {**info.data, "standalone": mark is not None and mark.kind == VolumeMark.VOLUME}
    if mark is None:
        owner = projects.get(own_instance_id(info.name)) or _only_writer(info, projects)
        return {"project_id": str(owner or ""), "data": data}
    is_written = any(not use["readonly"] for use in data["domains"])
    if not is_written and mark.format != data["format"]:
        data["format"] = mark.format
        if mark.format != "qcow2" and info.kind == "volume":
            data["backing_chain"] = []
    return {"project_id": str(mark.project_id or ""), "data": data}


def _only_writer(info: ResourceInfo, projects: Mapping[str, uuid.UUID]) -> uuid.UUID | None:
    uses = [use for use in info.data["domains"] if not use["readonly"]]
    if info.kind != "volume" or not uses:
        return None
    owners = {projects.get(use["engine_id"]) for use in uses}
    return owners.pop() if len(owners) == 1 else None


def _projects(node: Node, infos: Sequence[ResourceInfo]) -> dict[str, uuid.UUID]:
    """The project of each instance, by its own id and by the engine's."""
    found: dict[str, uuid.UUID] = {}
    if infos:
        for pk, engine_id, project in Instance.objects.filter(node=node).values_list(
            "pk", "engine_id", "project_id"
        ):
            found[str(pk)] = project
            if engine_id:
                # One that is being made has none yet.
                found[engine_id] = project
    return found


def _stale_drop(marks: dict[str, VolumeMark], infos: Sequence[ResourceInfo]) -> None:
    """Forget marks of what is gone from a pool that can be seen: another thing may take the name."""
    seen, pools = {info.engine_id for info in infos}, {info.data["pool"] for info in infos}
    limit = timezone.now() - _STALE_AFTER
    gone = [
        mark.pk
        for mark in marks.values()
        if mark.engine_id not in seen and mark.engine_id.split("/", 1)[0] in pools and mark.created_at < limit
    ]
    VolumeMark.objects.filter(pk__in=gone).delete()
