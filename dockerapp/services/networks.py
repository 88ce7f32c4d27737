"""Asked-for changes of networks: what is asked for is checked, whose they are, what the policy says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from django.db import transaction

from compute.actor import Actor
from compute.errors import InvalidInput, InvalidState, NetworkInUse, PolicyDenied
from compute.models import Node, Operation
from compute.selectors.resource_users import names_used, used_condition, users_visible
from compute.selectors.resources import resources_visible
from compute.services.attachments import network_attach, network_detach
from compute.services.idempotency import Idempotency, idempotency_lookup
from compute.services.instance_body import labels_check
from compute.services.limits import limits_lock
from compute.services.resource_work import (
    Pruning,
    Where,
    Work,
    change_require,
    count_check,
    name_free,
    work_submit,
)
from compute.tell import tell
from dockerapp.selectors.containers import container_get
from dockerapp.selectors.networks import KIND, network_dicts, network_row
from dockerapp.services.common import prune_where, where
from dockerapp.services.driver_options import text_options
from dockerapp.services.subnets import RULE_SUBNET, subnet_problem

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
# Names that an engine could take for the beginning of an id.
_LIKE_AN_ID = re.compile(r"[0-9a-f]{12,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RESERVED = frozenset({"bridge", "host", "none", "default", "container", "ingress", "nat", "prune", "new"})
_POOLS_MAX = 8

# What an operator may ask for; the rest reaches the host's own networks.
_DRIVERS = frozenset({"bridge"})
_OPTIONS = frozenset({"com.docker.network.driver.mtu", "com.docker.network.bridge.enable_icc"})

Network = IPv4Network | IPv6Network


def network_create(
    actor: Actor,
    body: Mapping[str, Any],
    *,
    node: str = "",
    project: str | None = None,
    idempotency: Idempotency | None = None,
) -> Operation:
    """Ask for a new network of a project. Raises ``InvalidInput``, ``PolicyDenied``, ``NameConflict``."""
    at = where(actor, "network.create", node=node, project=project)
    wanted = network_check(body)
    if not actor.is_admin:
        network_policy(at.node, wanted)
    with transaction.atomic():
        limits_lock()
        earlier = idempotency_lookup(actor, idempotency)
        if earlier is not None:
            return earlier
        count_check(at, KIND)
        name_free(at.node, KIND, wanted["name"])
        work = Work("network.create", wanted["name"], wanted)
        return work_submit(actor, at, work, idempotency=idempotency)


def network_delete(actor: Actor, id_or_name: str, *, node: str = "") -> Operation:
    """Ask for removal. Raises ``NetworkInUse`` naming those that the actor sees, ``InvalidState`` for
    the engine's own, ``PermissionDenied``."""
    row = network_row(actor, id_or_name, node)
    at = change_require(actor, row, "network.delete")
    if row.data.get("predefined"):
        raise InvalidState(f"“{row.name}” is the engine's own and stays.", state="predefined")
    place = (row.node_id, row.name)
    users = users_visible(actor, KIND, [place])[place]
    if users or row.name in names_used([row.node_id], KIND)[row.node_id]:
        names = ", ".join(user["name"] for user in users[:10]) or tell("containers that you do not see")
        raise NetworkInUse(
            f"{row.name} is used by {names}. Take them off it first.",
            containers=[{"id": user["id"], "name": user["name"]} for user in users],
        )
    return work_submit(actor, at, Work("network.delete", row.name, {"engine_id": row.engine_id}))


def network_connect(actor: Actor, id_or_name: str, body: Mapping[str, Any], *, node: str = "") -> Operation:
    """Ask for a container to be put on a network, live. Raises as ``network_attach``."""
    row = network_row(actor, id_or_name, node)
    instance = container_get(actor, str(body["container"]), str(row.node_id))
    join = {key: body[key] for key in ("ip_address", "ipv6_address", "aliases") if key in body}
    _inside_check(row.data.get("ipam") or [], join)
    return network_attach(actor, instance.pk, {"network": row.name, **join})


def network_disconnect(
    actor: Actor, id_or_name: str, body: Mapping[str, Any], *, node: str = ""
) -> Operation:
    """Ask for a container to be taken off a network, live."""
    row = network_row(actor, id_or_name, node)
    instance = container_get(actor, str(body["container"]), str(row.node_id))
    return network_detach(actor, instance.pk, row.name, force=bool(body.get("force", False)))


def networks_prune(
    actor: Actor, *, node: str = "", project: str | None = None, dry_run: bool = False
) -> Pruning:
    """What nobody uses: the project's, for administrators the node's unless they name a project."""
    at, wanted = prune_where(actor, "network.prune", node=node, project=project)
    rows = resources_visible(actor, KIND).filter(wanted, node=at.node).exclude(data__predefined=True)
    # The engine itself never prunes what a swarm uses.
    rows = rows.filter(data__scope="local").exclude(used_condition([at.node.pk], KIND))
    found = list(rows.order_by("name"))
    if dry_run:
        return Pruning(network_dicts(actor, found))
    things = [{"engine_id": row.engine_id, "name": row.name} for row in found]
    return Pruning([], work_submit(actor, at, Work("network.prune", at.node.name, {"things": things})))


def network_check(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a create request, typed, as ``NetworkWanted`` takes it. Raises ``InvalidInput``."""
    name = str(body["name"])
    if not _NAME.fullmatch(name) or name.lower() in _RESERVED or _LIKE_AN_ID.fullmatch(name):
        raise InvalidInput.field(
            "name",
            "must be 1 to 128 letters, digits, dots, dashes or underscores, start with a letter or "
            "digit, and be neither a word of the engine nor like an id.",
        )
    return {
        "name": name,
        "driver": str(body.get("driver") or "bridge"),
        "internal": bool(body.get("internal", False)),
        "attachable": bool(body.get("attachable", False)),
        "ipv6": bool(body.get("ipv6", False)),
        "ipam": _pools_check(body.get("ipam") or []),
        "options": text_options("options", body.get("options") or {}),
        "labels": labels_check("labels", body.get("labels") or {}),
    }


def network_policy(node: Node, wanted: Mapping[str, Any]) -> None:
    """What an operator may not ask for. Raises ``PolicyDenied`` naming the rule."""
    if wanted["driver"] not in _DRIVERS:
        raise PolicyDenied(
            f"Only administrators may use the driver “{wanted['driver'][:50]}”: it reaches the host's own "
            "networks. Operators make bridges.",
            rule="network_driver",
        )
    for key in wanted["options"]:
        if key not in _OPTIONS:
            raise PolicyDenied(
                f"Only administrators may set the option “{key[:100]}” of a network. Others may set "
                f"{', '.join(sorted(_OPTIONS))}.",
                rule="network_options",
            )
    for pool in wanted["ipam"]:
        if problem := subnet_problem(node, ip_network(pool["subnet"])):
            raise PolicyDenied(problem, rule=RULE_SUBNET)


def _pools_check(given: list[Any]) -> list[dict[str, str]]:
    if len(given) > _POOLS_MAX:
        raise InvalidInput.field("ipam", f"may hold at most {_POOLS_MAX} subnets.")
    pools = [_pool_check(f"ipam.{number}", item) for number, item in enumerate(given)]
    subnets = [ip_network(pool["subnet"]) for pool in pools]
    for number, subnet in enumerate(subnets):
        if any(subnet.version == other.version and subnet.overlaps(other) for other in subnets[:number]):
            raise InvalidInput.field(f"ipam.{number}.subnet", "overlaps with another one of this network.")
    return pools


def _pool_check(field: str, item: Mapping[str, Any]) -> dict[str, str]:
    """``{subnet, gateway, ip_range}`` as text, the latter two perhaps empty."""
    subnet = _subnet(f"{field}.subnet", str(item.get("subnet") or ""))
    pool = {"subnet": str(subnet), "gateway": "", "ip_range": ""}
    if item.get("gateway"):
        pool["gateway"] = _address_in(f"{field}.gateway", str(item["gateway"]), [subnet])
    if item.get("ip_range"):
        part = _subnet(f"{field}.ip_range", str(item["ip_range"]))
        if part.version != subnet.version or not part.subnet_of(subnet):  # type: ignore[arg-type]
            raise InvalidInput.field(f"{field}.ip_range", f"must be a part of {subnet}.")
        pool["ip_range"] = str(part)
    return pool


def _subnet(field: str, text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise InvalidInput.field(field, "must be a subnet such as 10.89.0.0/24; no host bits.") from error


def _address_in(field: str, text: str, subnets: list[Network]) -> str:
    try:
        address = ip_address(text)
    except ValueError as error:
        raise InvalidInput.field(field, "must be an address such as 10.89.0.7.") from error
    fitting = [subnet for subnet in subnets if subnet.version == address.version]
    if not any(address in subnet for subnet in fitting):
        known = ", ".join(str(subnet) for subnet in fitting) or tell("none of this version")
        raise InvalidInput.field(field, f"must be inside the network's subnet ({known}).")
    return str(address)


def _inside_check(pools: list[Mapping[str, Any]], join: Mapping[str, Any]) -> None:
    """A fixed address must be inside, which the engine says only in its own words."""
    subnets = [ip_network(str(pool["subnet"]), strict=False) for pool in pools if pool.get("subnet")]
    for field in ("ip_address", "ipv6_address"):
        if join.get(field):
            _address_in(field, str(join[field]), subnets)


__all__ = [
    "Where",
    "network_check",
    "network_connect",
    "network_create",
    "network_delete",
    "network_disconnect",
    "network_policy",
    "networks_prune",
]
