"""Asked-for changes of libvirt's networks. They are the host's: administrators change them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.errors import InvalidInput, InvalidState, NetworkInUse
from compute.models import Node, Operation, Resource
from compute.selectors.access import action_require
from compute.selectors.resource_users import users_visible
from compute.services.idempotency import Idempotency, idempotency_lookup
from compute.services.limits import limits_lock
from compute.services.resource_work import Where, Work, change_require, name_free, work_submit
from compute.states import InstanceState
from compute.tell import tell
from kvm.selectors.networks import KIND, network_row
from kvm.services.common import where
from kvm.services.network_checks import network_changed, network_new

_LIVE = (InstanceState.RUNNING, InstanceState.PAUSED)


def network_create(
    actor: Actor,
    body: Mapping[str, Any],
    *,
    node: str = "",
    project: str | None = None,
    idempotency: Idempotency | None = None,
) -> Operation:
    """Ask for a new network, which then runs. Raises ``PermissionDenied``, ``InvalidInput`` naming who
    has the subnet or the bridge, ``NameConflict``."""
    action_require(actor, "host_network.create")
    at = where(actor, "host_network.create", node=node, project=project)
    wanted = network_new(body)
    with transaction.atomic():
        limits_lock()
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        name_free(at.node, KIND, wanted["name"])
        _neighbours_check(at.node, wanted)
        return work_submit(actor, at, Work("network.create", wanted["name"], wanted), idempotency=idempotency)


def network_update(actor: Actor, id_or_name: str, body: Mapping[str, Any], *, node: str = "") -> Operation:
    """Ask for a change of the given fields. DHCP hosts and range change at once; the rest waits for the
    network's next start. Raises as ``network_create``."""
    row, at = _to_change(actor, id_or_name, node)
    if not row.data.get("persistent"):
        raise InvalidState(f"“{row.name}” is a network for this boot only: it has no definition to change.")
    wanted = network_changed({"name": row.name, **row.data}, body)
    with transaction.atomic():
        limits_lock()
        _neighbours_check(row.node, wanted, but=row)
        work = Work("network.update", row.name, {"uuid": row.engine_id, "wanted": wanted})
        return work_submit(actor, at, work)


def network_start(actor: Actor, id_or_name: str, *, node: str = "") -> Operation:
    """Ask for it to run; when it runs, nothing changes."""
    row, at = _to_change(actor, id_or_name, node)
    return work_submit(actor, at, Work("network.start", row.name, {"uuid": row.engine_id}))


def network_stop(actor: Actor, id_or_name: str, *, node: str = "", force: bool = False) -> Operation:
    """Ask for it to stop. Raises ``NetworkInUse`` naming the machines that it would cut off, unless
    ``force``."""
    row, at = _to_change(actor, id_or_name, node)
    there = [user["name"] for user in _users(actor, row) if user["state"] in _LIVE]
    if there and row.data.get("active") and not force:
        raise _in_use(row.name, there, tell("run on it"), "Stop them first, or cut them off with force.")
    return work_submit(actor, at, Work("network.stop", row.name, {"uuid": row.engine_id, "force": force}))


def network_delete(actor: Actor, id_or_name: str, *, node: str = "", force: bool = False) -> Operation:
    """Ask for removal. Raises ``NetworkInUse`` naming the machines that have a NIC on it, running or not,
    unless ``force``."""
    row, at = _to_change(actor, id_or_name, node)
    there = [user["name"] for user in _users(actor, row)]
    if there and not force:
        more = "Without it they do not start. Give them another network first, or delete it with force."
        raise _in_use(row.name, there, tell("are on it"), more)
    return work_submit(actor, at, Work("network.delete", row.name, {"uuid": row.engine_id, "force": force}))


def _to_change(actor: Actor, id_or_name: str, node: str) -> tuple[Resource, Where]:
    row = network_row(actor, id_or_name, node)
    action_require(actor, "host_network.change")
    return row, change_require(actor, row, "host_network.change")


def _users(actor: Actor, row: Resource) -> list[dict[str, Any]]:
    place = (row.node_id, row.name)
    return users_visible(actor, KIND, [place])[place]


def _in_use(name: str, machines: Iterable[str], what: str, more: str) -> NetworkInUse:
    names = sorted(set(machines))
    shown, rest = ", ".join(names[:10]), len(names) - 10
    shown = tell(f"{shown} and {rest} more") if rest > 0 else shown
    return NetworkInUse(f"Machines {what} (“{name}”): {shown}. {more}", machines=names)


def _neighbours_check(node: Node, wanted: Mapping[str, Any], but: Resource | None = None) -> None:
    """No other network of the node may have the subnet or the bridge. Raises ``InvalidInput``. What else
    is on the host the worker sees."""
    rows = Resource.objects.filter(node=node, kind=KIND).exclude(pk=but.pk if but else None)
    subnet = _subnet(wanted["ip"])
    for row in rows:
        other = _subnet(row.data.get("ip"))
        if subnet and other and subnet.network.overlaps(other.network):
            raise InvalidInput.field(
                "ip.address",
                f"overlaps with the network “{row.name}” ({other.network}); take another subnet.",
            )
        own_bridge = wanted["forward"]["mode"] != "bridge"
        if own_bridge and wanted["bridge_name"] and wanted["bridge_name"] == row.data.get("bridge_name"):
            raise InvalidInput.field("bridge_name", f"is the bridge of the network “{row.name}” already.")


def _subnet(ip: Mapping[str, Any] | None) -> IPv4Interface | None:
    try:
        return IPv4Interface(f"{ip['address']}/{ip['netmask']}") if ip else None
    except ValueError:
        # Made elsewhere, with an address that we do not read.
        return None
