"""Whose things a machine's configuration names, and whether they are there: asked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compute.actor import Actor
from compute.errors import InvalidInput, InvalidState, PoolNotFound, VolumeNotFound
from compute.models import Instance, Node, Project, Resource
from kvm.selectors.marks import own_instance_id


def machine_guarded(
    actor: Actor, project: Project, node: Node, config: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The configuration as it is; a part of one (what is plugged into a machine) is held to the same.
    Raises ``InvalidInput`` for a network that is not there or a MAC address that is taken,
    ``PoolNotFound``, ``InvalidState`` for a pool that is stopped, and ``VolumeNotFound`` for a volume that
    belongs to nobody or to others."""
    _networks_check(actor, project, node, config)
    for disk in _disks(config):
        _pool_check(node, str(disk.get("pool") or ""))
        if disk.get("volume"):
            _volume_check(actor, project, node, disk)
    return config


def _disks(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if config.get("disk"):
        yield config["disk"]
    yield from config.get("disks") or []


def _networks_check(actor: Actor, project: Project, node: Node, config: Mapping[str, Any]) -> None:
    nics = config.get("networks") or []
    wanted = [nic if isinstance(nic, str) else nic.get("network") for nic in nics]
    names = {name for name in wanted if name and name != "user"}
    rows = list(Resource.objects.filter(node=node, kind="network")) if names else []
    # A node that was never listed cannot tell what is missing.
    if rows:
        there = {row.name for row in rows if actor.is_admin or row.project_id in (None, project.pk)}
        missing = sorted(names - there)
        if missing:
            raise InvalidInput.field(
                "config.network",
                f"there is no network “{missing[0]}” on {node.name}; there are: "
                f"{', '.join(sorted(there)) or 'none'}.",
            )
    for nic in nics:
        if isinstance(nic, Mapping) and nic.get("mac_address"):
            _mac_check(node, str(nic["mac_address"]))


def _mac_check(node: Node, mac: str) -> None:
    for name, networks in Instance.objects.filter(node=node).values_list("name", "networks"):
        if any(str(item.get("mac_address", "")).lower() == mac for item in networks):
            raise InvalidInput.field("config.networks", f"the MAC address {mac} is that of {name} already.")


def _pool_check(node: Node, pool: str) -> None:
    if not pool:
        return
    rows = Resource.objects.filter(node=node, kind="pool")
    states = {row.name: str(row.data.get("state", "")) for row in rows}
    if states and pool not in states:
        known = ", ".join(sorted(states))
        raise PoolNotFound(f"There is no pool “{pool}” on {node.name}; there are: {known}.", name=pool)
    # The node's own pool is started when it is needed.
    if states.get(pool) == "inactive" and pool != node.options.get("pool_name", "default"):
        raise InvalidState(f"The pool {pool} does not run. Start it first.", state="inactive")


def _volume_check(actor: Actor, project: Project, node: Node, disk: Mapping[str, Any]) -> None:
    """Volumes are files of the host: only those of the project, but for administrators."""
    if actor.is_admin:
        return
    name, pool = str(disk["volume"]), str(disk.get("pool") or node.options.get("pool_name", "default"))
    rows = Resource.objects.filter(node=node, kind="volume", engine_id=f"{pool}/{name}", project=project)
    # Whose a volume is that LibGo did not make is only a guess: not enough to write to it.
    made = [row for row in rows if row.data.get("standalone") or own_instance_id(row.name)]
    if not made:
        raise VolumeNotFound(
            f"The project {project.name} has no volume “{name}” in the pool {pool}.", name=name
        )
