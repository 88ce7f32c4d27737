"""The guard that keeps projects apart: what a container may use of what its engine has already.

A configuration may name volumes, networks and other containers. They must be of the container's own
project, or new, or the engine's open networks; anything else is refused with the words for what is
not there. Administrators may use everything. The worker asks the engine again (``engine/claims.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compute.actor import Actor
from compute.errors import ContainerNotFound, InvalidInput, NetworkNotFound, PolicyDenied, VolumeNotFound
from compute.models import Instance, Node, Project, Resource
from compute.selectors.access import visible
from compute.selectors.identity import by_id_or_name

# Every member may join these; ``default`` is the engine's other word for ``bridge``.
OPEN_NETWORKS = frozenset({"bridge", "none", "default"})
# Keys of a configuration that may say ``container:<whose>``.
_SHARED_MODES = ("network_mode", "pid_mode", "ipc_mode", "uts_mode", "userns_mode")
_CONTAINER = "container:"


def config_guard(actor: Actor, project: Project, node: Node, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with other containers named by the engine's ids, which nobody can take over.
    Raises ``VolumeNotFound``, ``NetworkNotFound``, ``ContainerNotFound``, ``PolicyDenied``."""
    things_guard(actor, project, node, volumes=volumes_of(config), networks=networks_of(config))
    resolved = dict(config)
    for key in _SHARED_MODES:
        mode = str(config.get(key) or "")
        if mode.startswith(_CONTAINER):
            wanted = mode.removeprefix(_CONTAINER)
            resolved[key] = _CONTAINER + container_guard(actor, project, node, wanted).engine_id
    for key, separator in (("volumes_from", ":"), ("links", ":")):
        if config.get(key):
            resolved[key] = [_resolved(actor, project, node, str(item), separator) for item in config[key]]
    return resolved


def things_guard(
    actor: Actor, project: Project, node: Node, *, volumes: Iterable[str] = (), networks: Iterable[str] = ()
) -> None:
    """The same for names alone, as a compose file has them: volumes that are there already, networks
    that are made elsewhere. Raises ``VolumeNotFound``, ``NetworkNotFound``, ``PolicyDenied``."""
    if actor.is_admin:
        return
    for name in volumes:
        rows = Resource.objects.filter(node=node, kind="volume", name=name)
        if rows.exists() and not rows.filter(project=project).exists():
            raise VolumeNotFound(f"There is no volume “{name[:100]}”.", name=name[:100])
    for name in networks:
        if name == "host":
            raise PolicyDenied(
                "Only administrators may ask for host network: it is as good as root on the host.",
                rule="host_network",
            )
        owned = Resource.objects.filter(node=node, kind="network", name=name, project=project)
        if name not in OPEN_NETWORKS and not owned.exists():
            raise NetworkNotFound(f"There is no network “{name[:100]}”.", name=name[:100])


def container_guard(actor: Actor, project: Project, node: Node, wanted: str) -> Instance:
    """The container of the same project (administrators: of any) that is meant by its id, its name or
    the engine's id. Raises ``ContainerNotFound``, ``InvalidInput`` while it is being made."""
    rows = visible(actor, Instance.objects.filter(node=node))
    if not actor.is_admin:
        rows = rows.filter(project=project)
    found = rows.filter(by_id_or_name(wanted)).first() or rows.filter(name=wanted).first()
    if found is None and wanted:
        found = rows.filter(engine_id=wanted).first()
    if found is None:
        raise ContainerNotFound(f"There is no container “{wanted[:100]}”.", container=wanted[:100])
    if not found.engine_id:
        raise InvalidInput(f"The container {found.name} is still being made; wait for it.")
    return found


def volumes_of(config: Mapping[str, Any]) -> list[str]:
    """The named volumes that a typed configuration mounts."""
    sources = [str(item).partition(":")[0] for item in config.get("volumes") or []]
    mounts = [item for item in config.get("mounts") or [] if isinstance(item, Mapping)]
    sources += [str(item.get("source") or "") for item in mounts if item.get("type") == "volume"]
    return [name for name in sources if name and not name.startswith("/")]


def networks_of(config: Mapping[str, Any]) -> list[str]:
    """The networks that a typed configuration joins."""
    names = [str(config.get("network_mode") or "")]
    for item in config.get("networks") or []:
        names.append(str(item["network"]) if isinstance(item, Mapping) else str(item))
    return [name for name in names if name and not name.startswith(_CONTAINER)]


def _resolved(actor: Actor, project: Project, node: Node, item: str, separator: str) -> str:
    wanted, colon, rest = item.partition(separator)
    return container_guard(actor, project, node, wanted).engine_id + colon + rest
