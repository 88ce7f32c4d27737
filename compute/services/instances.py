"""Asked-for changes to instances: validate, permission, state, capability, limits, intent.

Every door (API, page, older facades) comes through here.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from compute.actor import Actor
from compute.audit import audit, changes_of
from compute.backends.capabilities import ACTION_CAPABILITIES, Capability
from compute.backends.registry import backend_class, backend_for
from compute.backends.types import Resources
from compute.differences import fields_told
from compute.errors import (
    InvalidInput,
    InvalidState,
    NameConflict,
    OperationNotSupported,
    PolicyDenied,
)
from compute.events import Fact, event_publish
from compute.execution.mirror import instance_reread
from compute.live import usage_dict, usage_recent
from compute.models import Instance, Node, Operation, Project
from compute.rows import row_insert
from compute.selectors.access import action_require
from compute.selectors.instances import instance_get
from compute.selectors.limits import RESERVES, site_rules
from compute.selectors.nodes import node_config
from compute.selectors.prepared import Prepared
from compute.selectors.sealed_config import config_sealed
from compute.services.guards import config_guarded, content_guarded
from compute.services.idempotency import Idempotency, idempotency_lookup, idempotency_store
from compute.services.instance_body import InstanceCreate, labels_check, name_check, resources_check
from compute.services.limits import Amounts, Claim, NodeFull, growth_check, limits_check, limits_lock
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_submit
from compute.services.placement import nodes_fit
from compute.services.projects import project_for
from compute.states import (
    ACTIVE_OPERATION_STATES,
    ALLOWED_FROM,
    Action,
    InstanceState,
    InstanceType,
)

__all__ = ["InstanceCreate", "instance_act", "instance_create", "instance_delete", "instance_update"]

# Already there: nothing to ask the engine for.
_GOAL = {
    Action.START: InstanceState.RUNNING,
    Action.STOP: InstanceState.STOPPED,
    Action.PAUSE: InstanceState.PAUSED,
    Action.UNPAUSE: InstanceState.RUNNING,
}
_SIGNALS = frozenset("HUP INT QUIT KILL TERM USR1 USR2 STOP CONT WINCH".split())
_TIMEOUT_MAX_S = 600.0
_UPDATABLE = {"resources", "labels", "annotations", "name", "config"}
_DEFAULT_TYPE = {"docker": InstanceType.CONTAINER, "kvm": InstanceType.VM}


def instance_create(
    actor: Actor,
    body: InstanceCreate,
    *,
    idempotency: Idempotency | None = None,
    origin: Mapping[str, Any] | None = None,
    here: bool = False,
) -> Operation:
    """Ask for a new instance. ``origin``: what its storage comes from, where that is no image
    (``clone_of`` and ``linked``, or ``file``); ``here`` as in ``Intent``. Raises ``InvalidInput``, and what
    policy, names, limits and ``nodes_fit`` raise."""
    earlier = idempotency_lookup(actor, idempotency)
    if earlier is not None:
        return earlier
    project = project_for(actor, body.project)
    action_require(actor, "instance.create", project.pk)
    name_check(body.name)
    resources = resources_check(body.resources)
    way = _Way(project, resources, idempotency, origin, here)
    full: NodeFull | None = None
    for node in nodes_fit(actor, body.backend, body.node, body.node_labels, Amounts.new(resources)):
        try:
            return _create_on(actor, node, body, way)
        except NodeFull as error:
            full = full or error
    assert full is not None, "at least one node was tried"
    raise full


@dataclass(frozen=True)
class _Way:
    """What a create is beside its body."""

    project: Project
    resources: Resources
    idempotency: Idempotency | None
    origin: Mapping[str, Any] | None
    here: bool


def _create_on(actor: Actor, node: Node, body: InstanceCreate, way: _Way) -> Operation:
    """Raises ``NodeFull`` when another node may still take it."""
    labels, annotations = labels_check("labels", body.labels), labels_check("annotations", body.annotations)
    kind, config = _checked_for(actor, node, body, way.project)
    storage_bytes = backend_class(node.backend).storage_asked(config, way.resources.storage_bytes)
    counted = replace(way.resources, storage_bytes=storage_bytes)
    kept = config_sealed(config)
    params = {
        "config": kept,
        "resources": asdict(way.resources),
        "labels": labels,
        "auto_start": bool(body.auto_start),
        **({"origin": dict(way.origin)} if way.origin else {}),
    }
    with transaction.atomic():
        limits_lock()
        earlier = idempotency_lookup(actor, way.idempotency)
        if earlier is not None:
            return earlier
        rules = site_rules()
        limits_check(Claim(Amounts.new(counted, rules), way.project, actor.user_id, node), rules)
        row = _row_reserve(
            node,
            body.name,
            project=way.project,
            created_by_id=actor.user_id,
            type=str(kind),
            image=str(config.get("image", ""))[:500],
            config=kept,
            labels=labels,
            annotations=annotations,
            **asdict(counted),
        )
        event_publish(
            Fact("instance.created", f"{body.name} is being made.", instance=row, username=actor.username)
        )
        intent = Intent("instance.create", node, row, params, may_cancel=True, here=way.here)
        operation = operation_submit(actor, intent)
        idempotency_store(actor, way.idempotency, operation)
    return operation


def instance_create_check(actor: Actor, body: InstanceCreate) -> None:
    """Raises what ``instance_create`` would, but for limits, and writes nothing: for forms that are still
    being filled in."""
    project = project_for(actor, body.project)
    action_require(actor, "instance.create", project.pk)
    name_check(body.name)
    resources = resources_check(body.resources)
    node = nodes_fit(actor, body.backend, body.node, body.node_labels, Amounts.new(resources))[0]
    labels_check("labels", body.labels)
    _checked_for(actor, node, body, project)
    _name_free_check(node, body.name)


def _checked_for(
    actor: Actor, node: Node, body: InstanceCreate, project: Project
) -> tuple[InstanceType, dict[str, Any]]:
    """Its type and its configuration as this node would take it."""
    _mixed_check(node)
    kind = _type(body.type, node)
    config = backend_class(node.backend).config_validate(
        _config_with_networks(body), allow_root_equivalent=actor.is_admin
    )
    return kind, config_guarded(actor, project, node, config)


def instance_act(
    actor: Actor, id_or_name: str | uuid.UUID, action: Action, options: Mapping[str, Any]
) -> Operation | None:
    """Ask for a lifecycle change; None when the instance is already as wanted.

    ``options``: ``force`` and ``timeout`` (seconds) for stop, ``timeout`` for restart, ``signal``
    for kill. Raises ``InvalidState``, ``InstanceBusy``, ``OperationNotSupported``,
    ``BackendUnavailable``.
    """
    params = options_check(action, options)
    with transaction.atomic():
        instance = instance_get(actor, id_or_name)
        action_require(actor, f"instance.{action}", instance.project_id)
        capability_require(instance, ACTION_CAPABILITIES.get(action))
        node_require(instance.node)
        state = InstanceState(instance.state)
        if not instance.engine_id:
            return operation_submit(actor, Intent(f"instance.{action}", instance.node, instance, params))
        if state not in ALLOWED_FROM[action]:
            raise InvalidState(f"{instance.name} is {state}; it cannot {action} now.", state=str(state))
        if _GOAL.get(action) == state and not _is_busy(instance):
            return None
        return operation_submit(actor, Intent(f"instance.{action}", instance.node, instance, params))


def instance_update(
    actor: Actor, id_or_name: str | uuid.UUID, changes: Mapping[str, Any]
) -> Operation | None:
    """Merge ``resources``, ``labels``, ``annotations``, ``name``, and of ``config`` what can be changed
    on a living instance; None when no engine call is needed."""
    unknown = sorted(set(changes) - _UPDATABLE)
    if unknown:
        raise InvalidInput.field(unknown[0], f"cannot be changed; only {', '.join(sorted(_UPDATABLE))} can.")
    with transaction.atomic():
        limits_lock()
        instance = instance_get(actor, id_or_name)
        action_require(actor, "instance.update", instance.project_id)
        _labels_apply(actor, instance, changes)
        params = _changes_checked(actor, instance, changes)
        if not params:
            return None
        node_require(instance.node)
        content_guarded(actor, instance)
        changed = _changes_told(instance, params)
        return operation_submit(
            actor, Intent("instance.update", instance.node, instance, params, changes=changed)
        )


def _changes_told(instance: Instance, params: Mapping[str, Any]) -> dict[str, Any]:
    """For the audit: what it was and what was asked for."""
    asked = {name: value for name, value in params.get("resources", {}).items() if value is not None}
    asked |= {"name": params["name"]} if "name" in params else {}
    config = params.get("config") or {}
    before = {name: getattr(instance, name, None) for name in asked}
    return changes_of({**before, **{name: instance.config.get(name) for name in config}}, {**asked, **config})


def _changes_checked(actor: Actor, instance: Instance, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine has to be asked for: ``resources``, ``config``, ``name``; only those that change
    something."""
    params: dict[str, Any] = {}
    resources = resources_check(changes.get("resources") or {})
    if resources != Resources():
        if resources.storage_bytes is not None:
            raise InvalidInput.field("resources.storage.total_space", "is set at creation.")
        capability_require(instance, Capability.RESIZE)
        params[RESERVES] = growth_check(instance, resources)
        params["resources"] = asdict(resources)
    if changes.get("config"):
        capability_require(instance, Capability.RECONFIGURE)
        params["config"] = backend_class(instance.backend).reconfigure_validate(
            changes["config"], allow_root_equivalent=actor.is_admin
        )
    if "name" in changes and changes["name"] != instance.name:
        capability_require(instance, Capability.RENAME)
        params["name"] = name_check(changes["name"])
        _name_free_check(instance.node, params["name"])
    return params


def instance_delete(
    actor: Actor, id_or_name: str | uuid.UUID, *, force: bool = False, keep_storage: bool = False
) -> Operation:
    """Ask for removal. A running instance is removed only with ``force``."""
    with transaction.atomic():
        instance = instance_get(actor, id_or_name)
        action_require(actor, "instance.delete", instance.project_id)
        node_require(instance.node)
        live = instance.state in (InstanceState.RUNNING, InstanceState.PAUSED)
        if live and not force and not _is_busy(instance):
            raise InvalidState(
                f"{instance.name} is {instance.state}. Stop it first, or delete it with force.",
                state=instance.state,
            )
        params = {"keep_storage": keep_storage, "force": force}
        return operation_submit(actor, Intent("instance.delete", instance.node, instance, params))


def instance_refresh(actor: Actor, id_or_name: str | uuid.UUID) -> Instance:
    """Read the engine now and return the row as it then is."""
    instance = instance_get(actor, id_or_name)
    node_require(instance.node)
    if not instance.engine_id:
        return instance
    instance_reread(backend_for(node_config(instance.node)), instance.node, instance.engine_id)
    return instance_get(actor, instance.pk)


def instance_usage(actor: Actor, id_or_name: str | uuid.UUID) -> dict[str, Any]:
    """The newest sample: from the sampler if it is fresh, else from the engine.

    Raises ``InvalidState`` when the instance does not run.
    """
    instance = instance_get(actor, id_or_name)
    if instance.state != InstanceState.RUNNING:
        raise InvalidState(f"{instance.name} is {instance.state}, so it uses nothing.", state=instance.state)
    recent = usage_recent(str(instance.pk), 1)
    if recent and instance.node.is_reachable:
        return recent[0]
    node_require(instance.node)
    return usage_dict(backend_for(node_config(instance.node)).usage(instance.engine_id))


def _type(wanted: str | None, node: Node) -> InstanceType:
    supported = backend_class(node.backend).supported_types
    if wanted is None:
        default = _DEFAULT_TYPE.get(node.backend)
        return default if default in supported else sorted(supported)[0]
    if wanted not in {str(kind) for kind in supported}:
        names = ", ".join(sorted(str(kind) for kind in supported))
        raise InvalidInput.field("type", f"the backend {node.backend} makes only: {names}.")
    return InstanceType(wanted)


def _config_with_networks(body: InstanceCreate) -> dict[str, Any]:
    if not isinstance(body.config, Mapping):
        raise InvalidInput.field("config", "must be an object.")
    config = dict(body.config)
    if body.networks is not None:
        config.setdefault("networks", body.networks)
    if body.storage is not None:
        config.setdefault("disks", body.storage)
    return config


def _mixed_check(node: Node) -> None:
    """``compute.allowMixedDeployments: false`` keeps a site to one kind of backend."""
    if settings.LIBGO["compute"]["allow_mixed_deployments"]:
        return
    if Instance.objects.filter(managed=True, adopted_at=None).exclude(backend=node.backend).exists():
        raise PolicyDenied(
            "This site runs instances of one backend only (compute.allowMixedDeployments is false).",
            rule="compute.allowMixedDeployments",
        )


_NAMED = Prepared(
    lambda node, name: Instance.objects.filter(node=node, name=name).values_list("pk", flat=True)[:1], texts=1
)


def _name_free_check(node: Node, name: str) -> None:
    if _NAMED.rows(node.pk, name):
        raise NameConflict(f"There is already an instance “{name}” on {node.name}.", name=name)


def _row_reserve(node: Node, name: str, **columns: Any) -> Instance:
    """The row that holds the name, with what was asked for. Other creates wait on the limits lock."""
    _name_free_check(node, name)
    try:
        with transaction.atomic():
            row = Instance(
                node=node,
                backend=node.backend,
                name=name,
                state=InstanceState.CREATED.value,
                managed=True,
                created_at=timezone.now(),
                **columns,
            )
            return row_insert(row)
    except IntegrityError as error:
        raise NameConflict(f"There is already an instance “{name}” on {node.name}.", name=name) from error


def capability_require(instance: Instance, capability: Capability | None) -> None:
    """Raises ``OperationNotSupported`` when its node cannot do this."""
    if capability is None:
        return
    known = instance.node.capabilities
    # A node that was never probed is judged by its backend's class.
    if not known:
        known = [str(word) for word in backend_class(instance.backend).capabilities]
    if str(capability) not in known:
        raise OperationNotSupported(
            f"The node {instance.node.name} cannot do this ({capability}).", capability=str(capability)
        )


def _is_busy(instance: Instance) -> bool:
    return instance.operations.filter(state__in=sorted(ACTIVE_OPERATION_STATES)).exists()


def options_check(action: Action, options: Mapping[str, Any]) -> dict[str, Any]:
    """As they go into the operation. Raises ``InvalidInput`` for what the action does not take."""
    known = {Action.STOP: {"force", "timeout"}, Action.RESTART: {"timeout"}, Action.KILL: {"signal"}}
    allowed = known.get(action, set())
    for key in options:
        if key not in allowed:
            raise InvalidInput.field(
                str(key), f"{action} takes {', '.join(sorted(allowed)) or 'no options'}."
            )
    params = dict(options)
    if not isinstance(params.get("force", False), bool):
        raise InvalidInput.field("force", "must be true or false.")
    timeout = params.get("timeout", 0)
    if (
        isinstance(timeout, bool)
        or not isinstance(timeout, (int, float))
        or not 0 <= timeout <= _TIMEOUT_MAX_S
    ):
        raise InvalidInput.field("timeout", f"must be seconds between 0 and {_TIMEOUT_MAX_S:g}.")
    if action is Action.KILL:
        signal = str(params.get("signal", "SIGKILL")).upper().removeprefix("SIG")
        if signal not in _SIGNALS:
            raise InvalidInput.field("signal", f"is not one of {', '.join(sorted(_SIGNALS))}.")
        params["signal"] = f"SIG{signal}"
    return params


def _labels_apply(actor: Actor, instance: Instance, changes: Mapping[str, Any]) -> None:
    columns = {
        name: {**getattr(instance, name), **labels_check(name, changes[name])}
        for name in ("labels", "annotations")
        if name in changes
    }
    if not columns:
        return
    details: dict[str, Any] = {"fields": sorted(columns)}
    details |= changes_of({name: getattr(instance, name) for name in columns}, columns)
    Instance.objects.filter(pk=instance.pk).update(**columns)
    audit(actor, "instance.update", instance.name, target_uid=instance.pk, details=details)
    event_publish(
        Fact(
            "instance.updated",
            fields_told(instance.name, sorted(columns)),
            instance=instance,
            username=actor.username,
        )
    )
