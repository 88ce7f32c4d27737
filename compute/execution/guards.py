"""What is asked before an instance gets devices back that it has no more: when its snapshot is asked for,
and again by the worker, for what was there then may belong to others by now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from django.utils.module_loading import import_string

from compute.actor import Actor
from compute.backends.registry import backend_registration
from compute.backends.types import BroughtBack, SnapshotInfo
from compute.models import Instance

# Raises ``ComputeError`` when the actor could not give these to the instance now.
SnapshotGuard = Callable[[Actor, Instance, Sequence[BroughtBack]], None]


def snapshot_is_guarded(instance: Instance) -> bool:
    """Whether snapshots of its backend may bring anything back."""
    return bool(backend_registration(instance.backend).snapshot_guard)


def snapshot_guarded(actor: Actor, instance: Instance, snapshot: SnapshotInfo) -> None:
    """Ask the backend's snapshot guard. Raises ``PolicyDenied``, and the words for what is not there."""
    dotted_path = backend_registration(instance.backend).snapshot_guard
    if dotted_path and snapshot.brings_back:
        cast(SnapshotGuard, import_string(dotted_path))(actor, instance, snapshot.brings_back)
