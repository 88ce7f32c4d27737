"""Asked-for work on backups: make, check, restore, delete.

A restore is a new instance: what the backup says is asked for as anybody would ask, so policy, ownership
and limits decide on it again, by who restores it and where.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.backends.backup import RestoreNames
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_class
from compute.errors import InvalidInput, InvalidState, OperationNotSupported
from compute.execution.backups import BACKUP, DELETE, VERIFY, any_node, unfinished
from compute.models import Backup, BackupTarget, Instance, Node, Operation, Resource
from compute.sealing import SealedOtherwise, unseal
from compute.selectors.access import action_require
from compute.selectors.backups import KEY_PROBLEM, backup_get, target_get, target_takes
from compute.selectors.instances import instance_get
from compute.selectors.nodes import node_get
from compute.services.guards import content_guarded
from compute.services.idempotency import Idempotency, idempotency_lookup, idempotency_store
from compute.services.instance_body import InstanceCreate, name_check
from compute.services.instances import capability_require, instance_create
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_submit
from compute.states import ALLOWED_FROM, Action, BackupState, InstanceState, InstanceType

# Of either backend.
_NETWORK_KEYS = frozenset({"network", "networks", "network_mode"})


def backup_create(
    actor: Actor,
    id_or_name: str | uuid.UUID,
    body: Mapping[str, Any],
    *,
    idempotency: Idempotency | None = None,
) -> Operation:
    """``body``: ``target`` (id or name), ``description``. Raises ``InstanceNotFound``, ``NotFound``,
    ``PolicyDenied`` for a target that is not for this project, ``InvalidState``, ``InstanceBusy``,
    ``OperationNotSupported``, ``BackendUnavailable``."""
    with transaction.atomic():
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        instance = instance_get(actor, id_or_name)
        action_require(actor, "instance.backup", instance.project_id)
        capability_require(instance, Capability.BACKUP)
        target = _target(actor, str(body.get("target") or ""), instance)
        node_require(instance.node)
        state = InstanceState(instance.state)
        if not instance.engine_id or state not in ALLOWED_FROM[Action.BACKUP]:
            raise InvalidState(f"{instance.name} is {state}; it cannot be backed up now.", state=str(state))
        content_guarded(actor, instance)
        row = Backup.objects.create(
            target=target,
            project=instance.project,
            node=instance.node,
            instance_uid=instance.pk,
            instance_name=instance.name,
            backend=instance.backend,
            type=instance.type,
            image=instance.image,
            description=str(body.get("description") or "")[:500],
            username=actor.username,
        )
        params = {"backup": str(row.pk), "target": str(target.pk)}
        operation = operation_submit(actor, Intent(BACKUP, instance.node, instance, params, may_cancel=True))
        idempotency_store(actor, idempotency, operation)
    return operation


def backup_verify(actor: Actor, backup_id: str | uuid.UUID) -> Operation:
    """Read it all and compare. Raises ``NotFound``, ``InvalidState`` while it is worked on."""
    with transaction.atomic():
        row = _free(actor, backup_id, "backup.verify")
        return _submit(actor, row, VERIFY, may_cancel=True)


def backup_delete(actor: Actor, backup_id: str | uuid.UUID) -> Operation:
    """Gone from its target, and then from here."""
    with transaction.atomic():
        row = _free(actor, backup_id, "backup.delete")
        return _submit(actor, row, DELETE)


def backup_restore(
    actor: Actor,
    backup_id: str | uuid.UUID,
    body: Mapping[str, Any],
    *,
    idempotency: Idempotency | None = None,
) -> Operation:
    """``body``: ``name``, ``node`` (None: where it came from), ``project`` (None: its own), ``networks``
    (None: those of the names that it had), ``start``. Raises what ``instance_create`` does."""
    earlier = idempotency_lookup(actor, idempotency)
    if earlier is not None:
        return earlier
    row = backup_get(actor, backup_id)
    action_require(actor, "backup.restore", row.project_id)
    if row.state != BackupState.READY:
        raise InvalidState(f"This backup is {row.state}; only a whole one is restored.", state=row.state)
    node = _node(actor, row, body)
    name = name_check(body.get("name") or row.instance_name)
    kept = _kept(row)
    backend = backend_class(row.backend)
    is_beside = Instance.objects.filter(pk=row.instance_uid, node=node).exists()
    names = RestoreNames(name, is_beside, {"volume": _volumes_taken(node)})
    config, networks = backend.backup_config(kept["definition"], names), body.get("networks")
    wanted = InstanceCreate(
        name=name,
        backend=row.backend,
        node=str(node.pk),
        project=body.get("project") or (str(row.project_id) if row.project_id else None),
        type=row.type,
        config=config if networks is None else config_without_networks(config),
        networks=networks,
        resources=_resources(row, kept["instance"]),
        labels=kept["instance"]["labels"],
        annotations=kept["instance"]["annotations"],
        auto_start=bool(body.get("start", True)),
    )
    return instance_create(actor, wanted, idempotency=idempotency, origin={"backup": str(row.pk)})


def config_without_networks(config: Mapping[str, Any]) -> dict[str, Any]:
    """For a host that may know none of the names that it had."""
    return {key: value for key, value in config.items() if key not in _NETWORK_KEYS}


def _kept(row: Backup) -> Any:
    """What it says of its instance. Raises ``SealedOtherwise`` before anything is made."""
    try:
        return unseal(row.definition)
    except SealedOtherwise as error:
        raise SealedOtherwise(KEY_PROBLEM) from error


def _target(actor: Actor, wanted: str, instance: Instance) -> BackupTarget:
    if not wanted:
        raise InvalidInput.field("target", "is required: the id or the name of a backup target.")
    target = target_get(actor, wanted)
    if not target_takes(target, instance.project_id):
        raise InvalidInput.field("target", f"{target.name} takes no backups of this project.")
    if not target.is_enabled:
        raise InvalidState(f"The target {target.name} is switched off.", state="disabled")
    return target


def _free(actor: Actor, backup_id: str | uuid.UUID, action: str) -> Backup:
    """One that no operation is at work on. Raises ``InvalidState``."""
    row = backup_get(actor, backup_id)
    action_require(actor, action, row.project_id)
    Backup.objects.select_for_update(no_key=True).get(pk=row.pk)
    if unfinished(row):
        raise InvalidState("Another operation is at work on this backup. Wait for it.", state=row.state)
    if row.state == BackupState.CREATING:
        raise InvalidState(
            "This backup was broken off. It is removed by itself as soon as its target answers.",
            state=row.state,
        )
    if _restoring(row):
        raise InvalidState("It is being restored right now. Wait for that.", state="restoring")
    return row


def _restoring(row: Backup) -> bool:
    active = Operation.objects.filter(action="instance.create", state__in=["queued", "running"])
    return active.filter(params__origin__backup=str(row.pk)).exists()


def _submit(actor: Actor, row: Backup, action: str, *, may_cancel: bool = False) -> Operation:
    node = row.node or any_node()
    if node is None:
        raise InvalidState("This site has no node, so no worker takes this. Add one.", state="no_node")
    intent = Intent(
        action,
        node,
        params={"backup": str(row.pk)},
        may_cancel=may_cancel,
        target=row.instance_name,
        project=row.project,
    )
    return operation_submit(actor, intent)


def _node(actor: Actor, row: Backup, body: Mapping[str, Any]) -> Node:
    wanted = str(body.get("node") or "")
    if not wanted and row.node is None:
        raise InvalidInput.field("node", "is required: the node that it came from is no more.")
    node = node_get(actor, wanted or str(row.node_id))
    if node.backend != row.backend:
        raise InvalidInput.field("node", f"{node.name} is a {node.backend} node; this is for {row.backend}.")
    node_require(node, for_new=True)
    if str(Capability.BACKUP) not in (node.capabilities or [str(Capability.BACKUP)]):
        raise OperationNotSupported(f"The node {node.name} cannot do this (backup).", capability="backup")
    return node


def _volumes_taken(node: Node) -> frozenset[str]:
    return frozenset(Resource.objects.filter(node=node, kind="volume").values_list("name", flat=True))


def _resources(row: Backup, instance: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cpu": {"cores": instance["cpu_cores"]},
        "memory": {"limit": instance["memory_bytes"]},
    }
    if row.type == InstanceType.VM and instance["storage_bytes"]:
        found["storage"] = {"total_space": instance["storage_bytes"]}
    return found
