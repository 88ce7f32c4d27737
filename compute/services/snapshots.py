"""Kept states of an instance, and another instance like it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.backends.base import Backend
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_for
from compute.backends.types import Resources, SnapshotInfo
from compute.errors import InvalidInput, InvalidState, OperationNotSupported, SnapshotNotFound
from compute.execution.guards import snapshot_guarded
from compute.models import Instance, Operation
from compute.selectors.access import action_require
from compute.selectors.instances import instance_get
from compute.selectors.nodes import node_config
from compute.selectors.page import time_text
from compute.selectors.sealed_config import config_opened
from compute.services.guards import content_guarded
from compute.services.idempotency import Idempotency, idempotency_lookup, idempotency_store
from compute.services.instance_body import InstanceCreate
from compute.services.instances import capability_require, instance_create
from compute.services.limits import RESERVES, growth_check
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_submit
from compute.states import InstanceType

# A machine's own layers have a bound besides.
SNAPSHOTS_MAX = 100
_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,62}")


def snapshots_list(actor: Actor, id_or_name: str | uuid.UUID) -> list[dict[str, Any]]:
    """Oldest first. Raises ``OperationNotSupported``, ``BackendUnavailable``."""
    instance = instance_get(actor, id_or_name)
    return [snapshot_dict(item) for item in _listed(instance)]


def snapshot_get(actor: Actor, id_or_name: str | uuid.UUID, name: str) -> dict[str, Any]:
    """Raises ``SnapshotNotFound``."""
    return snapshot_dict(_found(instance_get(actor, id_or_name), name))


def snapshot_create(
    actor: Actor,
    id_or_name: str | uuid.UUID,
    body: Mapping[str, Any],
    *,
    idempotency: Idempotency | None = None,
) -> Operation:
    """``body``: ``name``, ``description``, and where the backend can ``include_memory`` and ``quiesce``.
    Raises ``OperationNotSupported``, and ``NameConflict`` (when it is carried out)."""
    earlier = idempotency_lookup(actor, idempotency)
    if earlier is not None:
        return earlier
    name = str(body.get("name") or "")
    if not _NAME.fullmatch(name):
        raise InvalidInput.field("name", "must be 1 to 63 letters, digits, dots, dashes or underscores.")
    with transaction.atomic():
        instance = instance_get(actor, id_or_name)
        action_require(actor, "instance.snapshot", instance.project_id)
        backend = _backend(instance)
        content_guarded(actor, instance)
        words = {"name": name, "description": str(body.get("description") or "")}
        if len(_listed(instance)) >= SNAPSHOTS_MAX:
            raise InvalidState(
                f"{instance.name} has {SNAPSHOTS_MAX} snapshots, which is the most. Delete some.",
                state="full",
            )
        params = {**words, **_options(backend, body)}
        operation = operation_submit(actor, Intent("instance.snapshot", instance.node, instance, params))
        idempotency_store(actor, idempotency, operation)
    return operation


def snapshot_delete(actor: Actor, id_or_name: str | uuid.UUID, name: str) -> Operation:
    """Raises ``SnapshotNotFound``."""
    with transaction.atomic():
        instance = instance_get(actor, id_or_name)
        action_require(actor, "instance.snapshot_delete", instance.project_id)
        _found(instance, name)
        intent = Intent("instance.snapshot_delete", instance.node, instance, {"name": name})
        return operation_submit(actor, intent)


def snapshot_restore(actor: Actor, id_or_name: str | uuid.UUID, name: str) -> Operation:
    """What was written since is lost. Raises ``SnapshotNotFound``, ``ResourceLimitExceeded`` when the
    limits that come back are more than there is room for, and what ``snapshot_guarded`` raises for devices
    that come back."""
    with transaction.atomic():
        instance = instance_get(actor, id_or_name)
        action_require(actor, "instance.restore", instance.project_id)
        found = _found(instance, name)
        content_guarded(actor, instance)
        snapshot_guarded(actor, instance, found)
        if found.no_restore:
            raise InvalidState(found.no_restore, state=instance.state)
        grown = growth_check(instance, Resources(found.cpu_cores, found.memory_bytes))
        params = {"name": name, RESERVES: grown}
        intent = Intent("instance.restore", instance.node, instance, params, may_cancel=True)
        return operation_submit(actor, intent)


def instance_clone(
    actor: Actor,
    id_or_name: str | uuid.UUID,
    body: Mapping[str, Any],
    *,
    idempotency: Idempotency | None = None,
) -> Operation:
    """Another one of the same specification on the same node: checked as any new one is, with storage
    of its own. ``body``: ``name``, ``project``, ``auto_start``, ``linked``. Raises
    ``OperationNotSupported`` for ``linked`` where storage cannot be shared."""
    instance = instance_get(actor, id_or_name)
    action_require(actor, "instance.clone", instance.project_id)
    backend = _backend(instance, Capability.CLONE)
    content_guarded(actor, instance)
    linked = bool(body.get("linked", False))
    if linked and not backend.clone_linked:
        raise OperationNotSupported(
            f"Clones on the {backend.title} backend share nothing: leave “linked” out.", capability="linked"
        )
    wanted = InstanceCreate(
        name=str(body.get("name") or ""),
        backend=instance.backend,
        node=str(instance.node_id),
        project=body.get("project") or str(instance.project_id),
        type=instance.type,
        config=backend.clone_config(config_opened(instance.config), instance.storage),
        resources=_resources(instance),
        labels=instance.labels,
        annotations=instance.annotations,
        auto_start=bool(body.get("auto_start", True)),
    )
    origin = {"clone_of": instance.engine_id, "linked": linked}
    return instance_create(actor, wanted, idempotency=idempotency, origin=origin)


def _resources(instance: Instance) -> dict[str, Any]:
    """The limits it has; of a VM also its disks, which a clone has again."""
    found: dict[str, Any] = {
        "cpu": {"cores": instance.cpu_cores},
        "memory": {"limit": instance.memory_bytes},
    }
    if instance.type == InstanceType.VM and instance.storage_bytes:
        found["storage"] = {"total_space": instance.storage_bytes}
    return found


def snapshot_dict(item: SnapshotInfo) -> dict[str, Any]:
    """The public shape."""
    return {
        "name": item.name,
        "description": item.description,
        "size_bytes": item.size_bytes,
        "created_at": time_text(item.created_at),
        "parent": item.parent or None,
        "is_current": item.is_current,
        "state": item.state or None,
        "kind": item.kind or None,
        "has_memory": item.has_memory,
        "may_restore": not item.no_restore,
        "no_restore": item.no_restore or None,
    }


def _options(backend: Backend, body: Mapping[str, Any]) -> dict[str, bool]:
    """``include_memory`` and ``quiesce`` where they are given; refused rather than left out silently."""
    given = {key: bool(body[key]) for key in ("include_memory", "quiesce") if body.get(key) is not None}
    for key in sorted(given):
        if given[key] and key not in backend.snapshot_options:
            raise OperationNotSupported(
                f"Snapshots on the {backend.title} backend have no “{key}”: leave it out.", capability=key
            )
    return {key: value for key, value in given.items() if key in backend.snapshot_options}


def _backend(instance: Instance, capability: Capability = Capability.SNAPSHOT) -> Backend:
    capability_require(instance, capability)
    node_require(instance.node)
    if not instance.engine_id:
        raise InvalidState(f"{instance.name} is still being made.", state=instance.state)
    return backend_for(node_config(instance.node))


def _listed(instance: Instance) -> list[SnapshotInfo]:
    return _backend(instance).snapshot_list(instance.engine_id, str(instance.pk))


def _found(instance: Instance, name: str) -> SnapshotInfo:
    for item in _listed(instance):
        if item.name == name:
            return item
    raise SnapshotNotFound(f"{instance.name} has no snapshot “{name[:100]}”.", snapshot=name[:100])
