"""Asked-for changes of machines that only KVM knows; the rest is ``compute.services.instances``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.audit import audit
from compute.backends.capabilities import Capability
from compute.errors import InvalidInput, InvalidState, NotFound, PreconditionFailed
from compute.models import Instance, Operation
from compute.selectors.access import action_require
from compute.services.attachments import storage_attach
from compute.services.guards import config_guarded
from compute.services.instances import capability_require, instance_act, instance_update
from compute.services.limits import RESERVES, storage_check
from compute.services.nodes import node_require
from compute.services.operations import Intent, operation_submit
from compute.states import Action
from kvm.selectors.machines import machine_get
from kvm.selectors.nodes import kvm_of
from kvm.services.storage_guard import image_require

_TARGET = re.compile(r"[a-z]{2,3}[a-z]{1,2}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")


def disk_attach(actor: Actor, wanted: str, body: Mapping[str, Any]) -> Operation:
    """A new disk (``size``) or an existing volume (``source``); further ``pool``, ``format``, ``bus``,
    ``cache``, ``read_only``, ``shareable``. Raises as ``storage_attach``."""
    return storage_attach(actor, machine_get(actor, wanted).pk, body)


def disk_change(actor: Actor, wanted: str, target: str, body: Mapping[str, Any]) -> Operation:
    """``size`` (bytes, only up) and ``io_limits``. Raises ``NotFound``, ``InvalidInput`` for less than it
    has, ``ResourceLimitExceeded``."""
    with transaction.atomic():
        row = _changeable(actor, wanted, Capability.VOLUME)
        disk = _device(row, "disks", "target", _matching("dev", target, _TARGET))
        size, limits = body.get("size"), dict(body.get("io_limits") or {})
        if size is None and not limits:
            raise InvalidInput.field("size", "or io_limits is needed; nothing was asked for.")
        reserves: dict[str, Any] = {}
        if size is not None:
            reserves = {RESERVES: storage_check(row, max(0, size - _size_of(row, disk["target"])))}
        params = {
            "target": target,
            "size": size,
            "io_limits": kvm_of(row.node).machines.io_limits_check(limits),
            **reserves,
        }
        return operation_submit(actor, Intent("instance.disk_change", row.node, row, params))


def nic_attach(actor: Actor, wanted: str, body: Mapping[str, Any]) -> Operation:
    """A NIC on ``network``, or for administrators on ``bridge`` or ``direct``; ``model``,
    ``mac_address``. Raises ``PolicyDenied``, ``InvalidInput``."""
    with transaction.atomic():
        row = _changeable(actor, wanted, Capability.NETWORK_ATTACH)
        nic = kvm_of(row.node).machines.nic_check(body, allow_root_equivalent=actor.is_admin)
        config_guarded(actor, row.project, row.node, {"networks": [nic]})
        return operation_submit(actor, Intent("instance.nic_attach", row.node, row, {"nic": nic}))


def nic_detach(actor: Actor, wanted: str, mac: str) -> Operation:
    """Raises ``NotFound``; the operation fails with ``InvalidState`` when the guest keeps it."""
    with transaction.atomic():
        row = _changeable(actor, wanted, Capability.NETWORK_ATTACH)
        nic = _device(row, "nics", "mac_address", _matching("dev", mac.lower(), _MAC))
        params = {"mac_address": nic["mac_address"]}
        return operation_submit(actor, Intent("instance.nic_detach", row.node, row, params))


def nic_change(actor: Actor, wanted: str, mac: str, body: Mapping[str, Any]) -> Operation:
    """``bandwidth {inbound{average,peak,burst}, outbound{...}}`` in KiB/s; an empty direction lifts its
    limit."""
    with transaction.atomic():
        row = _changeable(actor, wanted, Capability.NETWORK_ATTACH)
        nic = _device(row, "nics", "mac_address", _matching("dev", mac.lower(), _MAC))
        limits = kvm_of(row.node).machines.bandwidth_check(body.get("bandwidth") or {})
        if not limits:
            raise InvalidInput.field("bandwidth", "needs inbound or outbound.")
        params = {"mac_address": nic["mac_address"], "bandwidth": limits}
        return operation_submit(actor, Intent("instance.nic_change", row.node, row, params))


def medium_change(actor: Actor, wanted: str, body: Mapping[str, Any]) -> Operation:
    """The ISO ``image`` into the drive ``dev`` (without a name the first that is free for it), or its
    medium out when ``image`` is empty; ``force`` opens a drive that the guest has locked."""
    with transaction.atomic():
        row = _changeable(actor, wanted, Capability.VOLUME)
        image, target = str(body.get("image") or ""), str(body.get("dev") or "")
        if image:
            _matching("image", image, _IMAGE)
            image_require(actor, row.project, row.node, image)
        if target:
            _device(row, "drives", "target", _matching("dev", target, _TARGET))
        params = {"image": image, "target": target, "force": bool(body.get("force", False))}
        return operation_submit(actor, Intent("instance.medium_change", row.node, row, params))


def drive_remove(actor: Actor, wanted: str, target: str) -> Operation:
    """A CD-ROM drive out of a machine that is off. Raises ``NotFound``, ``InvalidState``."""
    with transaction.atomic():
        row = _changeable(actor, wanted, Capability.VOLUME)
        _device(row, "drives", "target", _matching("dev", target, _TARGET))
        if row.state not in ("stopped", "error"):
            raise InvalidState(
                "A CD-ROM drive is removed only while the machine is off; take its medium out instead.",
                state=row.state,
            )
        return operation_submit(actor, Intent("instance.drive_remove", row.node, row, {"target": target}))


def machine_configure(actor: Actor, wanted: str, body: Mapping[str, Any]) -> Operation | None:
    """``description``, ``autostart``, ``boot``; None when nothing is asked for."""
    row = machine_get(actor, wanted)
    action_require(actor, "instance.update", row.project_id)
    changes = {key: value for key, value in body.items() if value is not None}
    return instance_update(actor, row.pk, {"config": changes}) if changes else None


def machine_save(actor: Actor, wanted: str) -> Operation | None:
    """Its memory to the host's disk; None when it is off already."""
    row = machine_get(actor, wanted)
    action_require(actor, "instance.save", row.project_id)
    return None if row.state == "stopped" else instance_act(actor, row.pk, Action.SAVE, {})


def machine_save_discard(actor: Actor, wanted: str) -> Operation | None:
    """The saved memory thrown away: what was not on its disks is lost. None without any."""
    with transaction.atomic():
        row = _changeable(actor, wanted, Capability.SAVE, "instance.save_discard")
        if not row.config.get("saved"):
            return None
        return operation_submit(actor, Intent("instance.save_discard", row.node, row, {}))


def machine_xml(actor: Actor, wanted: str, *, live: bool = False) -> str:
    """The definition, or what runs now; without secrets. Needs ``console``; audited."""
    row = machine_get(actor, wanted)
    action_require(actor, "instance.definition", row.project_id)
    machines = kvm_of(_ready(row).node).machines
    text = machines.xml_live(row.engine_id) if live else machines.xml_read(row.engine_id)
    audit(actor, "instance.xml_read", row.name, target_uid=row.pk)
    return text


def machine_xml_diff(actor: Actor, wanted: str, xml: str) -> str:
    """What defining this text would change; nothing is changed. Only for administrators. Raises
    ``InvalidInput``."""
    row = machine_get(actor, wanted)
    action_require(actor, "instance.define")
    return str(kvm_of(_ready(row).node).machines.xml_check(row.engine_id, xml).diff)


def machine_xml_write(actor: Actor, wanted: str, xml: str, *, before: str = "") -> tuple[Operation, str]:
    """Define the edited text, after a trial; the operation and the diff. ``before`` is the text that was
    edited: raises ``PreconditionFailed`` when the definition is another one by now."""
    row = machine_get(actor, wanted)
    action_require(actor, "instance.define")
    machines = kvm_of(_ready(row).node).machines
    now = machines.xml_read(row.engine_id)
    if before and before != now:
        raise PreconditionFailed("The definition was changed since you read it. Read it again.")
    diff = machines.xml_check(row.engine_id, xml).diff
    with transaction.atomic():
        row = _changeable(actor, wanted, None)
        params = {"xml": xml, "before": now}
        return operation_submit(actor, Intent("instance.define", row.node, row, params)), str(diff)


def _changeable(
    actor: Actor, wanted: str, capability: Capability | None, action: str = "instance.devices"
) -> Instance:
    row = machine_get(actor, wanted)
    action_require(actor, action, row.project_id)
    capability_require(row, capability)
    return _ready(row)


def _ready(row: Instance) -> Instance:
    node_require(row.node)
    if not row.engine_id:
        raise InvalidState(f"{row.name} is still being made.", state=row.state)
    return row


def _matching(field: str, text: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text):
        raise InvalidInput.field(field, "is no name of such a device.")
    return text


def _device(row: Instance, kind: str, key: str, name: str) -> dict[str, Any]:
    """A device as last seen, plugged or waiting for the next start."""
    for device in (row.config.get("devices") or {}).get(kind, []):
        if str(device.get(key, "")).lower() == name:
            return dict(device)
    raise NotFound(f"{row.name} has no {kind.removesuffix('s')} {name}.", device=name)


def _size_of(row: Instance, target: str) -> int:
    return next((int(item.get("size") or 0) for item in row.storage if item.get("name") == target), 0)
