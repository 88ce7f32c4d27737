"""What a snapshot brings back to a machine is judged as if it were plugged in now."""

from __future__ import annotations

from collections.abc import Sequence

from compute.actor import Actor
from compute.backends.types import BroughtBack
from compute.errors import PolicyDenied, VolumeNotFound
from compute.models import Instance, Resource
from kvm.services.machine_guard import machine_guarded


def snapshot_guard(actor: Actor, instance: Instance, back: Sequence[BroughtBack]) -> None:
    """Raises ``PolicyDenied`` for what only administrators give, and the words for what is not there or
    belongs to others."""
    if actor.is_admin:
        return
    for device in back:
        if device.kind == "host":
            raise PolicyDenied(
                f"The snapshot would give {instance.name} something of the host back that it has no more "
                f"({device.name}). Only administrators may do this.",
                rule="host_device",
            )
        if device.kind == "medium":
            _medium_check(instance, device.name)
    pairs = [device.name.split("/", 1) for device in back if device.kind == "volume"]
    part = {
        "networks": [device.name for device in back if device.kind == "network"],
        "disks": [{"pool": pool, "volume": name} for pool, name in pairs],
    }
    machine_guarded(actor, instance.project, instance.node, part)


def _medium_check(instance: Instance, engine_id: str) -> None:
    """A volume or an image of the project, or an image of the site."""
    rows = Resource.objects.filter(node=instance.node, engine_id=engine_id, kind__in=("volume", "image"))
    is_own = rows.filter(project=instance.project).exists()
    is_sites = rows.filter(kind="image", project=None).exists()
    if not is_own and not is_sites:
        raise VolumeNotFound(
            f"The project {instance.project.name} has no “{engine_id}”, which the snapshot would bring back.",
            name=engine_id,
        )
