"""Add, change and remove nodes; find the node for a new instance."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from compute.actor import SYSTEM, Actor
from compute.audit import audit, changes_of
from compute.backends.registry import backend_class, backend_for, backend_forget, backend_problem
from compute.backends.types import NodeAccess, NodeInfo
from compute.errors import (
    BackendUnavailable,
    ComputeError,
    InvalidInput,
    InvalidState,
    NameConflict,
)
from compute.events import Fact, event_publish
from compute.models import Node
from compute.sealing import seal
from compute.selectors.access import action_require
from compute.selectors.nodes import config_for, node_config, node_get, node_secrets
from compute.services.instance_body import labels_check
from compute.services.limits import limits_lock
from compute.services.node_access import ACCESS_FIELDS, access_merged
from compute.tell import tell

_PLACEMENT = ("labels", "cpu_overcommit", "memory_overcommit")
_EDITABLE = {"name", "is_enabled", *_PLACEMENT, *ACCESS_FIELDS}
# Words that stand in addresses where a node's name would.
_RESERVED = ("test", "new")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")


def node_create(actor: Actor, given: Mapping[str, Any], *, force: bool = False) -> Node:
    """Admins only. ``given``: ``name``, ``backend``, ``url``, what ``_placement`` takes, and ``tls``,
    ``ssh``, ``insecure`` as in ``services/node_access.py``. The engine is asked first, and what does not
    answer is not stored, unless ``force``. The watcher takes it up within seconds."""
    action_require(actor, "node.create")
    name = _name_free(given["name"])
    access = _access_checked(given["backend"], NodeAccess(""), given)
    info = None if force else _probe(given["backend"], name, access)
    with transaction.atomic():
        try:
            with transaction.atomic():
                node = Node.objects.create(
                    name=name,
                    backend=given["backend"],
                    url=access.url,
                    options=dict(access.options),
                    secrets=_sealed(access),
                    **_placement(given),
                )
        except IntegrityError as error:
            raise _taken(name) from error
        audit(actor, "node.create", name, target_uid=node.pk, details=_told(access))
        event_publish(Fact("node.created", f"{name} was added.", node=node, username=actor.username))
        if info is not None:
            node_seen(node, info)
    return node


def node_update(
    actor: Actor,
    id_or_name: str | uuid.UUID,
    changes: Mapping[str, Any],
    *,
    force: bool = False,
    still: Callable[[], object] | None = None,
) -> Node:
    """Merge ``name``, ``is_enabled`` and what ``node_create`` takes. Admins only. A new address or new
    credentials are tried first, as on creating. ``still`` raises when the node is no more what the caller
    wanted to change; asked under the lock."""
    action_require(actor, "node.update")
    unknown = set(changes) - _EDITABLE
    if unknown:
        raise InvalidInput.field(sorted(unknown)[0], f"is not one of {', '.join(sorted(_EDITABLE))}.")
    node = node_get(actor, id_or_name)
    columns = {key: changes[key] for key in ("name", "is_enabled") if key in changes}
    columns |= _placement(changes)
    if columns.get("name", node.name) != node.name:
        _name_free(columns["name"])
    access, info = None, None
    if any(key in changes for key in ACCESS_FIELDS):
        access = _access_changed(node, changes)
        columns |= {"url": access.url, "options": dict(access.options), "secrets": _sealed(access)}
        info = None if force else _probe(node.backend, node.name, access)
    with transaction.atomic():
        limits_lock()
        if still is not None:
            still()
        before = _settings(node_get(actor, node.pk))
        try:
            with transaction.atomic():
                Node.objects.filter(pk=node.pk).update(**columns)
        except IntegrityError as error:
            raise _taken(columns["name"]) from error
        node = node_get(actor, node.pk)
        told = {"fields": sorted(changes), **(_told(access) if access else {})}
        _changed(actor, node, "node.update", {**told, **changes_of(before, _settings(node))})
        if info is not None:
            node_seen(node, info)
    return node


def _placement(given: Mapping[str, Any]) -> dict[str, Any]:
    """What says which instances it takes, as far as it is given. Raises ``InvalidInput``."""
    found = {key: given[key] for key in _PLACEMENT if key in given}
    if "labels" in found:
        found["labels"] = labels_check("labels", found["labels"])
    return found


def _access_changed(node: Node, changes: Mapping[str, Any]) -> NodeAccess:
    if node.is_local:
        raise InvalidState(
            "The address and credentials of this node come from the configuration (libgo.yaml); change them "
            "there.",
            state="configured",
        )
    return _access_checked(node.backend, NodeAccess(node.url, node.options, _secrets_of(node)), changes)


def _secrets_of(node: Node) -> dict[str, str]:
    try:
        return node_secrets(node)
    except BackendUnavailable:
        # Sealed with a key that is no more: entering them anew is the way out.
        return {}


def node_delete(actor: Actor, id_or_name: str | uuid.UUID) -> None:
    """Forget a node and the mirror of its instances; nothing happens on the engine itself."""
    action_require(actor, "node.delete")
    with transaction.atomic():
        node = node_get(actor, id_or_name)
        if node.is_local:
            raise InvalidState(
                "This node comes from the configuration; switch its backend off there instead."
            )
        audit(actor, "node.delete", node.name, target_uid=node.pk)
        event_publish(Fact("node.deleted", f"{node.name} was removed.", node=node, username=actor.username))
        backend_forget(str(node.pk))
        node.delete()


def node_drain(actor: Actor, id_or_name: str | uuid.UUID, *, draining: bool) -> Node:
    """A draining node takes no new instances; what runs on it goes on."""
    action_require(actor, "node.drain")
    with transaction.atomic():
        node = node_get(actor, id_or_name)
        node.is_draining = draining
        node.save(update_fields=["is_draining"])
        _changed(actor, node, "node.drain" if draining else "node.resume")
    return node


def node_test(actor: Actor, id_or_name: str | uuid.UUID) -> dict[str, Any]:
    """Ask the engine of a node now; a refusal is an answer, not an error."""
    action_require(actor, "node.test")
    node = node_get(actor, id_or_name)
    try:
        return _found(backend_for(node_config(node)).probe())
    except ComputeError as error:
        return _not_found(error)


def node_try(
    actor: Actor, given: Mapping[str, Any], *, instead_of: str | uuid.UUID | None = None
) -> dict[str, Any]:
    """The same for a node that is not stored: ``backend`` and ``url`` with their credentials, merged
    into those of the node that they would replace. Raises ``InvalidInput`` for what cannot be tried."""
    action_require(actor, "node.test")
    if instead_of is None:
        backend, before, name = given["backend"], NodeAccess(""), given.get("name") or tell("the new node")
    else:
        node = node_get(actor, instead_of)
        backend, name = node.backend, node.name
        before = NodeAccess(node.url, node.options, _secrets_of(node))
    access = _access_checked(backend, before, given)
    audit(actor, "node.try", access.url, details=_told(access))
    try:
        return _found(_probe(backend, name, access))
    except ComputeError as error:
        return _not_found(error)


def _found(info: NodeInfo) -> dict[str, Any]:
    return {
        "ok": True,
        "code": None,
        "reason": None,
        "message": f"{info.hostname} answers.",
        "version": info.version,
        "api_version": info.api_version,
        "hostname": info.hostname,
        "cpu_cores": info.cpu_cores,
        "memory_bytes": info.memory_bytes,
        "capabilities": sorted(str(word) for word in info.capabilities),
        "details": dict(info.details),
        "host_key": None,
    }


def _not_found(error: ComputeError) -> dict[str, Any]:
    nothing = dict.fromkeys(("version", "api_version", "hostname", "cpu_cores", "memory_bytes"))
    return {
        "ok": False,
        "code": error.code,
        "reason": error.details.get("reason"),
        "message": error.message,
        **nothing,
        "capabilities": [],
        "details": {},
        "host_key": error.details.get("host_key"),
    }


def _probe(backend: str, name: str, access: NodeAccess) -> NodeInfo:
    """Ask an engine that is no node yet, by an object of its own."""
    config = config_for(access, backend=backend, name=name, node_id=f"try-{uuid.uuid4()}")
    tried = backend_class(backend)(config)
    try:
        return tried.probe()
    finally:
        tried.close()


def _access_checked(backend: str, before: NodeAccess, given: Mapping[str, Any]) -> NodeAccess:
    return backend_class(backend).node_check(access_merged(before, given))


def _sealed(access: NodeAccess) -> str:
    return seal(dict(access.secrets)) if access.secrets else ""


def _settings(node: Node) -> dict[str, Any]:
    return {name: getattr(node, name) for name in ("name", "is_enabled", "url", *_PLACEMENT)}


def _told(access: NodeAccess) -> dict[str, Any]:
    """For the audit: where to, and how safely; never what opens it."""
    return {
        "url": access.url,
        "verified": bool(access.options.get("tls_verify", True)),
        "insecure": bool(access.options.get("insecure")),
        "credentials": sorted(access.secrets),
    }


def node_name_check(name: str) -> None:
    """Raises ``InvalidInput``."""
    if not _NAME.fullmatch(name):
        raise InvalidInput.field(
            "name", "needs 1 to 63 letters, digits, dots, dashes or underscores, a letter or digit first."
        )


def _name_free(name: str) -> str:
    if name in _RESERVED:
        raise InvalidInput.field("name", "is a word that LibGo needs for itself.")
    if Node.objects.filter(name=name).exists():
        raise _taken(name)
    return name


def _taken(name: str) -> NameConflict:
    return NameConflict(f"There is already a node “{name}”.")


def node_ensure_local() -> list[Node]:
    """Make the local nodes equal to the configuration; called at each start."""
    wanted = _local_wanted()
    with transaction.atomic():
        for stale in Node.objects.filter(is_local=True).exclude(backend__in=wanted):
            Node.objects.filter(pk=stale.pk).update(is_reachable=False, error="Off in the configuration.")
        return [_local_node(backend, url, options) for backend, (url, options) in wanted.items()]


def node_require(node: Node, *, for_new: bool = False) -> None:
    """Raises ``BackendUnavailable`` unless the node is on and was seen; a draining one refuses new
    instances with ``InvalidState``."""
    problem = backend_problem(node.backend)
    if problem:
        raise BackendUnavailable(problem, node=node.name)
    if not node.is_enabled:
        raise BackendUnavailable(f"The node {node.name} is disabled.", node=node.name)
    if not node.is_reachable:
        reason = node.error or tell("it was not seen yet")
        raise BackendUnavailable(f"The node {node.name} is unreachable: {reason}", node=node.name)
    if for_new and node.is_draining:
        raise InvalidState(f"The node {node.name} is draining and takes no new instances.", state="draining")


def node_seen(node: Node, info: NodeInfo) -> None:
    """The watcher's probe went well."""
    was_reachable = node.is_reachable
    columns = {
        "is_reachable": True,
        "error": "",
        "version": info.version[:64],
        "api_version": info.api_version[:64],
        "hostname": info.hostname[:255],
        "capabilities": sorted(str(word) for word in info.capabilities),
        "cpu_cores": info.cpu_cores,
        "memory_bytes": info.memory_bytes,
        "storage_total_bytes": info.storage_total_bytes,
        "storage_used_bytes": info.storage_used_bytes,
        "details": dict(info.details),
        "last_seen": timezone.now(),
    }
    for column, value in columns.items():
        setattr(node, column, value)
    with transaction.atomic():
        Node.objects.filter(pk=node.pk).update(**columns)
        if not was_reachable:
            event_publish(Fact("node.online", f"{node.name} answers.", node=node))


def node_lost(node: Node, reason: str) -> None:
    """The engine does not answer; its instances keep their last state and show as stale."""
    with transaction.atomic():
        changed = (
            Node.objects.filter(pk=node.pk)
            .exclude(is_reachable=False, error=reason[:1000])
            .update(is_reachable=False, error=reason[:1000])
        )
        node.is_reachable, node.error = False, reason[:1000]
        if changed:
            event_publish(Fact("node.unreachable", f"{node.name}: {reason}", node=node))


def _changed(actor: Actor, node: Node, action: str, details: Mapping[str, Any] | None = None) -> None:
    audit(actor, action, node.name, target_uid=node.pk, details=details)
    event_publish(Fact("node.updated", f"{node.name} was changed.", node=node, username=actor.username))


def _local_wanted() -> dict[str, tuple[str, dict[str, Any]]]:
    docker, libvirt = settings.LIBGO["docker"], settings.LIBGO["libvirt"]
    wanted: dict[str, tuple[str, dict[str, Any]]] = {}
    if docker["enabled"]:
        keys = (
            "api_version tls_verify tls_cert_path tls_key_path tls_ca_path max_retries retry_delay_s".split()
        )
        wanted["docker"] = (docker["host"], {key: docker[key] for key in keys if docker[key] is not None})
    if libvirt["enabled"]:
        keys = ["virt_type", "pool_name", "network_name"]
        wanted["kvm"] = (libvirt["uri"], {key: libvirt[key] for key in keys if libvirt[key] is not None})
    return wanted


def _local_node(backend: str, url: str, options: dict[str, Any]) -> Node:
    node = Node.objects.filter(is_local=True, backend=backend).first()
    if node is None:
        taken = Node.objects.filter(name=f"local-{backend}").exists()
        name = f"local-{backend}-{uuid.uuid4().hex[:6]}" if taken else f"local-{backend}"
        node = Node.objects.create(name=name, backend=backend, url=url, options=options, is_local=True)
        audit(SYSTEM, "node.create", name, target_uid=node.pk)
        return node
    Node.objects.filter(pk=node.pk).update(url=url, options=options)
    return node
