"""Every read of nodes."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db.models import Count, Q

from compute.actor import Actor
from compute.backends.types import NodeConfig
from compute.errors import NodeNotFound
from compute.models import Node
from compute.selectors.identity import by_id_or_name
from compute.selectors.page import time_text
from compute.states import InstanceState

# Where each backend's deadlines stand in the configuration; others use the defaults.
_SECTION = {"docker": "docker", "kvm": "libvirt"}


def nodes_list(actor: Actor) -> list[dict[str, Any]]:
    """All nodes, by name, with their instance counts."""
    rows = Node.objects.annotate(
        instance_count=Count("instances"),
        running_count=Count("instances", filter=Q(instances__state=InstanceState.RUNNING.value)),
    )
    return [{**node_dict(row), "instances": row.instance_count, "running": row.running_count} for row in rows]


def node_get(actor: Actor, id_or_name: str | uuid.UUID) -> Node:
    """Raises ``NodeNotFound``."""
    wanted = str(id_or_name)
    found = Node.objects.filter(by_id_or_name(wanted)).first()
    if found is None:
        raise NodeNotFound(f"There is no node “{wanted[:100]}”.", node=wanted[:100])
    return found


def node_dict(node: Node) -> dict[str, Any]:
    """The public shape; ``options`` (TLS files and the like) are never read back."""
    return {
        "id": str(node.pk),
        "name": node.name,
        "backend": node.backend,
        "url": node.url,
        "status": str(node.status),
        "version": node.version,
        "api_version": node.api_version,
        "hostname": node.hostname,
        "capabilities": node.capabilities,
        "resources": {
            "cpu": {"total": node.cpu_cores},
            "memory": {"total": node.memory_bytes},
            "storage": {"total": node.storage_total_bytes, "used": node.storage_used_bytes},
        },
        "details": node.details,
        "is_local": node.is_local,
        "last_seen": time_text(node.last_seen),
        "error": node.error,
        "created_at": time_text(node.created_at),
    }


def node_config(node: Node) -> NodeConfig:
    """How the backend layer reaches this node."""
    section = settings.LIBGO.get(_SECTION.get(node.backend, ""), {})
    return NodeConfig(
        id=str(node.pk),
        name=node.name,
        backend=node.backend,
        url=node.url,
        options=node.options,
        connect_timeout_s=min(float(section.get("connection_timeout_s", 3.0)), 60.0),
        request_timeout_s=float(section.get("request_timeout_s", 30.0)),
    )
