"""What an instance is attached to, changed while it lives: networks and storage."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_class
from compute.errors import InvalidInput, InvalidState, NotFound, OperationNotSupported
from compute.models import Instance, Operation
from compute.selectors.access import action_require
from compute.selectors.instances import instance_get
from compute.services.guards import config_guarded
from compute.services.instances import capability_require
from compute.services.limits import RESERVES, storage_check
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_submit

_NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_ALIAS = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?")
_ALIASES_MAX = 16


def networks_of(actor: Actor, id_or_name: str | uuid.UUID) -> list[dict[str, Any]]:
    """``[{network, mac_address, ip_address, ipv6_address}]`` as last seen."""
    return list(instance_get(actor, id_or_name).networks)


def storage_of(actor: Actor, id_or_name: str | uuid.UUID) -> list[dict[str, Any]]:
    """``[{name, source, target, size, format}]`` as last seen."""
    return list(instance_get(actor, id_or_name).storage)


def network_attach(actor: Actor, id_or_name: str | uuid.UUID, body: Mapping[str, Any]) -> Operation:
    """Ask for an instance to be put on a network, live: ``network``, ``ip_address``, ``ipv6_address``,
    ``aliases``. Raises ``NetworkNotFound``, ``InvalidInput``, ``OperationNotSupported``,
    ``InstanceBusy``."""
    with transaction.atomic():
        instance = _changeable(actor, id_or_name)
        params = _join_check(body)
        config_guarded(actor, instance.project, instance.node, {"networks": [{"network": params["network"]}]})
        return operation_submit(actor, Intent("instance.network_attach", instance.node, instance, params))


def network_detach(
    actor: Actor, id_or_name: str | uuid.UUID, network: str, *, force: bool = False
) -> Operation:
    """Ask for an instance to be taken off one of its networks, live. Raises ``NotFound`` when it is
    not on it."""
    with transaction.atomic():
        instance = _changeable(actor, id_or_name)
        # A MAC address names one NIC of several on a network.
        known = [item.get(key) for item in instance.networks for key in ("network", "mac_address")]
        if not network or network not in known:
            raise NotFound(f"{instance.name} is not on a network “{network[:100]}”.", network=network[:100])
        params = {"network": network, "force": force}
        return operation_submit(actor, Intent("instance.network_detach", instance.node, instance, params))


def storage_attach(actor: Actor, id_or_name: str | uuid.UUID, body: Mapping[str, Any]) -> Operation:
    """Ask for storage to be attached, live: an existing ``source``, or a new one of ``size``; the rest is
    the backend's. Raises ``OperationNotSupported``, ``InvalidInput``, ``VolumeNotFound``,
    ``ResourceLimitExceeded``, ``InstanceBusy``."""
    with transaction.atomic():
        instance = _storage_changeable(actor, id_or_name)
        params = backend_class(instance.backend).storage_validate(body)
        disk = {**params["options"], **({"volume": params["source"]} if params["source"] else {})}
        guarded = config_guarded(actor, instance.project, instance.node, {"disks": [disk]})
        # The guard knows some of it better: the format that a volume has for certain.
        params["format"] = str(guarded["disks"][0].get("format") or params["format"])
        reserves: dict[str, Any] = {}
        if params["size_bytes"]:
            reserves = {RESERVES: storage_check(instance, params["size_bytes"])}
        params = {"join": params, **reserves}
        intent = Intent("instance.storage_attach", instance.node, instance, params, may_cancel=True)
        return operation_submit(actor, intent)


def storage_detach(
    actor: Actor, id_or_name: str | uuid.UUID, name: str, *, delete_storage: bool = False
) -> Operation:
    """Ask for storage to be detached, live; with ``delete_storage`` what was made for this instance alone
    is deleted. Raises ``NotFound``; the operation fails with ``InvalidState`` when the instance holds on
    to it."""
    with transaction.atomic():
        instance = _storage_changeable(actor, id_or_name)
        if name not in [item.get("name") for item in instance.storage]:
            raise NotFound(f"{instance.name} has no storage “{name[:100]}”.", name=name[:100])
        params = {"name": name, "delete": delete_storage}
        return operation_submit(actor, Intent("instance.storage_detach", instance.node, instance, params))


def _storage_changeable(actor: Actor, id_or_name: str | uuid.UUID) -> Instance:
    instance = instance_get(actor, id_or_name)
    action_require(actor, "instance.storage", instance.project_id)
    if Capability.VOLUME not in backend_class(instance.backend).capabilities:
        raise OperationNotSupported(
            f"The storage of {instance.name} is set when it is made and cannot be changed afterwards. Make "
            "it anew with other volumes; what is in named volumes stays.",
            capability=str(Capability.VOLUME),
        )
    return _ready(instance, Capability.VOLUME)


def _changeable(actor: Actor, id_or_name: str | uuid.UUID) -> Instance:
    instance = instance_get(actor, id_or_name)
    action_require(actor, "instance.network", instance.project_id)
    return _ready(instance, Capability.NETWORK_ATTACH)


def _ready(instance: Instance, capability: Capability) -> Instance:
    capability_require(instance, capability)
    node_require(instance.node)
    if not instance.engine_id:
        raise InvalidState(f"{instance.name} is still being made.", state=instance.state)
    return instance


def _join_check(body: Mapping[str, Any]) -> dict[str, Any]:
    network = body.get("network")
    if not isinstance(network, str) or not _NETWORK.fullmatch(network):
        raise InvalidInput.field("network", "must be the name of a network.")
    aliases = body.get("aliases") or []
    if not isinstance(aliases, list) or len(aliases) > _ALIASES_MAX:
        raise InvalidInput.field("aliases", f"must be a list of at most {_ALIASES_MAX} names.")
    if not all(isinstance(item, str) and _ALIAS.fullmatch(item) for item in aliases):
        raise InvalidInput.field("aliases", "must hold host names such as “db”.")
    return {
        "network": network,
        "ip_address": _address("ip_address", body.get("ip_address"), IPv4Address),
        "ipv6_address": _address("ipv6_address", body.get("ipv6_address"), IPv6Address),
        "aliases": aliases,
    }


def _address(field: str, given: Any, kind: type[IPv4Address] | type[IPv6Address]) -> str:
    if not given:
        return ""
    try:
        found = ip_address(str(given))
    except ValueError:
        found = None
    if not isinstance(found, kind):
        example = "10.89.0.7" if kind is IPv4Address else "fd00:89::7"
        raise InvalidInput.field(field, f"must be an address such as {example}.")
    return str(found)
