"""Which images and volumes a machine may be made from, and as what they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.actor import Actor
from compute.errors import ImageNotFound
from compute.models import Node, Project, Resource
from kvm.models import VolumeMark
from kvm.selectors.storage import VOLUME

_SUFFIXES = ("", ".qcow2", ".img", ".raw", ".iso")
_FORMATS = ("qcow2", "raw")


def storage_guarded(
    actor: Actor, project: Project, node: Node, config: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The configuration with the format of each existing volume that it names: what a guest wrote into a
    raw disk must not be taken for an image. Raises ``ImageNotFound`` for another project's image."""
    if config.get("image"):
        image_require(actor, project, node, str(config["image"]))
    found = dict(config)
    if config.get("disk"):
        found["disk"] = _with_format(actor, node, config["disk"])
    if config.get("disks"):
        found["disks"] = [_with_format(actor, node, disk) for disk in config["disks"]]
    return found


def image_require(actor: Actor, project: Project, node: Node, name: str) -> None:
    """Raises ``ImageNotFound`` when the engine would find another project's under this name. What is in
    no list yet is left to the engine, unless it is marked as somebody's."""
    if actor.is_admin:
        return
    names = [f"{name}{suffix}" for suffix in _SUFFIXES]
    rows = Resource.objects.filter(node=node, kind=VOLUME, name__in=names)
    foreign = list(rows.exclude(project=None).exclude(project=project).values_list("engine_id", flat=True))
    ends = tuple(f"/{one}" for one in names)
    marks = VolumeMark.objects.filter(node=node).exclude(project=None).exclude(project=project)
    foreign += [mark for mark in marks.values_list("engine_id", flat=True) if mark.endswith(ends)]
    own = rows.exclude(engine_id__in=foreign)
    default = str(node.options.get("pool_name", "default"))
    if foreign and (not own.exists() or any(one.startswith(f"{default}/") for one in foreign)):
        raise ImageNotFound(f"There is no image “{name[:100]}”.", image=name[:100])


def _with_format(actor: Actor, node: Node, disk: Mapping[str, Any]) -> dict[str, Any]:
    """What is known wins over what an operator says: that would be a way to have a raw disk, in which a
    guest wrote what it liked, opened as an image."""
    if not disk.get("volume") or (actor.is_admin and disk.get("format")):
        return dict(disk)
    pool = str(disk.get("pool") or node.options.get("pool_name", "default"))
    row = Resource.objects.filter(node=node, kind=VOLUME, engine_id=f"{pool}/{disk['volume']}").first()
    known = row.data.get("format") if row is not None else None
    return {**disk, "format": known if known in _FORMATS else "raw"} if row is not None else dict(disk)
