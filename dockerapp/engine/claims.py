"""What a new container uses beside itself: volumes and networks, made for it or allowed to it.

The request was checked against the mirror when it was made. Here, right before and after the
container is made, the engine itself is asked: a thing may have changed hands in between. Once a
container uses a volume, nobody can remove it, so the second look decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compute.backends.types import InstanceSpec, Reporter, UndoStep
from compute.errors import NameConflict
from dockerapp.engine.client import EngineClient
from dockerapp.engine.networks import OPEN_TO_ALL, Networks
from dockerapp.engine.volumes import Volumes, VolumeWanted

UNDO_NETWORK = "network"
UNDO_VOLUME = "volume"


def volume_names(config: Mapping[str, Any]) -> list[str]:
    """The named volumes that a typed configuration mounts."""
    sources = [str(item).partition(":")[0] for item in config.get("volumes") or []]
    sources += [str(item.get("source", "")) for item in _mounts(config) if item.get("type") == "volume"]
    return list(dict.fromkeys(name for name in sources if name and not name.startswith("/")))


def network_names(config: Mapping[str, Any]) -> list[str]:
    """The networks that a typed configuration joins; ``host`` and other containers' are none."""
    names = [str(config.get("network_mode") or "")]
    for item in config.get("networks") or []:
        names.append(
            str(item.get("network") or item.get("name") or "") if isinstance(item, Mapping) else item
        )
    kept = [name for name in names if name and name != "host" and not name.startswith("container:")]
    return list(dict.fromkeys(kept))


def claims_make(client: EngineClient, spec: InstanceSpec, report: Reporter) -> None:
    """Make the missing named volumes, marked as the project's, with their undo; call before the
    container is made, and before its own undo is recorded: it must go first."""
    volumes = Volumes(client)
    for name in volume_names(spec.config):
        if volumes.mark(name) is None:
            ref = {"name": name, "operation_id": spec.operation_id}
            report.undo(UndoStep(UNDO_VOLUME, ref))
            _volume_make(volumes, name, spec)
    claims_check(client, spec)


def claims_check(client: EngineClient, spec: InstanceSpec) -> None:
    """Raises ``VolumeNotFound`` and ``NetworkNotFound`` for what the spec's project may not use; call
    again when the container is made and before it starts."""
    volumes, networks = Volumes(client), Networks(client)
    for name in volume_names(spec.config):
        volumes.allowed(name, spec.grants, spec.project_id)
    for name in network_names(spec.config):
        if name not in OPEN_TO_ALL:
            networks.allowed(name, spec.grants, spec.project_id)


def claim_undo(client: EngineClient, step: UndoStep) -> None:
    """Take back a network or volume that an operation made."""
    name, operation_id = str(step.ref["name"]), str(step.ref["operation_id"])
    if step.kind == UNDO_NETWORK:
        Networks(client).undo(name, operation_id)
    else:
        Volumes(client).undo(name, operation_id)


def _volume_make(volumes: Volumes, name: str, spec: InstanceSpec) -> None:
    try:
        volumes.create(VolumeWanted(name), project_id=spec.project_id, operation_id=spec.operation_id)
    except NameConflict:
        # Somebody was first in this very moment; whether it is one of ours is checked next.
        return


def _mounts(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for item in config.get("mounts") or []:
        if isinstance(item, Mapping):
            yield item
