"""Ask for a move of an instance to another node of its backend."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_for
from compute.backends.types import MigrateSpec
from compute.errors import InvalidInput, InvalidState, NameConflict, OperationNotSupported
from compute.models import Instance, Node, Operation
from compute.selectors.access import action_require
from compute.selectors.instances import instance_get
from compute.selectors.nodes import node_config, node_get
from compute.services.idempotency import Idempotency, idempotency_lookup, idempotency_store
from compute.services.instances import capability_require
from compute.services.limits import RESERVES, arrival_check
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_submit
from compute.states import ALLOWED_FROM, Action, InstanceState

_RUNS = (InstanceState.RUNNING, InstanceState.PAUSED)


def instance_migrate(
    actor: Actor,
    id_or_name: str | uuid.UUID,
    body: Mapping[str, Any],
    *,
    idempotency: Idempotency | None = None,
) -> Operation:
    """``body``: ``node`` (id or name), ``live`` (None: as it is found), ``max_bytes_per_s``. What only the
    engines know is looked at when it is carried out, before anything moves.

    Raises ``NodeNotFound``, ``InvalidInput``, ``InvalidState``, ``NameConflict``,
    ``OperationNotSupported``, ``BackendUnavailable``, ``InstanceBusy``, ``NodeFull``.
    """
    with transaction.atomic():
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        instance, target = _both(actor, id_or_name, body)
        params = {
            RESERVES: arrival_check(instance, target),
            "node": str(target.pk),
            "engine_id": instance.engine_id,
            "live": _live(instance, body),
            "max_bytes_per_s": int(body.get("max_bytes_per_s") or 0),
        }
        intent = Intent("instance.migrate", instance.node, instance, params, may_cancel=True)
        operation = operation_submit(actor, intent)
        idempotency_store(actor, idempotency, operation)
    return operation


def migrate_check(actor: Actor, id_or_name: str | uuid.UUID, body: Mapping[str, Any]) -> dict[str, Any]:
    """The same questions, without the move: ``ok`` and ``checks``, each with ``name``, ``ok``, ``message``.
    Asks both engines."""
    instance, target = _both(actor, id_or_name, body)
    here, there = backend_for(node_config(instance.node)), backend_for(node_config(target))
    plan = here.migrate_plan(instance.engine_id, there, MigrateSpec(_live(instance, body)))
    found = [{"name": check.name, "ok": check.ok, "message": check.text} for check in plan.checks]
    return {"ok": all(check["ok"] for check in found), "node": target.name, "checks": found}


def migrate_targets(instance: Instance) -> list[Node]:
    """The nodes that it could be moved to, by name."""
    rows = Node.objects.filter(
        backend=instance.backend, is_enabled=True, is_reachable=True, is_draining=False
    )
    return [row for row in rows.exclude(pk=instance.node_id).order_by("name") if _can(row)]


def migrate_require(actor: Actor, id_or_name: str | uuid.UUID) -> Instance:
    """What the actor may move. Raises ``InstanceNotFound``, ``PermissionDenied``,
    ``OperationNotSupported``."""
    instance = instance_get(actor, id_or_name)
    action_require(actor, "instance.migrate", instance.project_id)
    capability_require(instance, Capability.MIGRATE)
    return instance


def _both(actor: Actor, id_or_name: str | uuid.UUID, body: Mapping[str, Any]) -> tuple[Instance, Node]:
    instance = migrate_require(actor, id_or_name)
    target = node_get(actor, str(body["node"]))
    if target.pk == instance.node_id:
        raise InvalidInput.field("node", f"{instance.name} is on {target.name} already.")
    if target.backend != instance.backend:
        raise InvalidInput.field("node", f"{target.name} is a {target.backend} node, not {instance.backend}.")
    node_require(instance.node)
    node_require(target, for_new=True)
    if not _can(target):
        raise OperationNotSupported(f"The node {target.name} cannot do this (migrate).", capability="migrate")
    state = InstanceState(instance.state)
    if state not in ALLOWED_FROM[Action.MIGRATE] or not instance.engine_id:
        raise InvalidState(f"{instance.name} is {state}; it cannot move now.", state=str(state))
    if Instance.objects.filter(node=target, name=instance.name).exists():
        raise NameConflict(
            f"There is already an instance “{instance.name}” on {target.name}. Rename one of them.",
            name=instance.name,
        )
    return instance, target


def _live(instance: Instance, body: Mapping[str, Any]) -> bool:
    """Raises ``InvalidState`` when a running one shall not be moved running."""
    runs = instance.state in _RUNS
    if runs and body.get("live") is False:
        raise InvalidState(
            f"{instance.name} is {instance.state}. Stop it first, or let it move while it runs (live).",
            state=instance.state,
        )
    return runs


def _can(node: Node) -> bool:
    return str(Capability.MIGRATE) in node.capabilities
