"""Every read of nodes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models import Count, Q

from compute.actor import Actor
from compute.backends.registry import backend_class
from compute.backends.types import NodeAccess, NodeConfig
from compute.certificates import certificate_facts, key_fingerprint
from compute.errors import BackendUnavailable, InvalidInput, NodeNotFound
from compute.models import Node
from compute.sealing import unseal
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


def backend_node(actor: Actor, backend: str, wanted: str = "") -> Node:
    """The node of this backend asked for by id or name; without a wish the local one, else the first by
    name. Raises ``NodeNotFound``, ``InvalidInput`` for a node of another backend, and
    ``BackendUnavailable`` when the backend is switched off."""
    title = backend_class(backend).title
    if wanted:
        node = node_get(actor, wanted)
        if node.backend != backend:
            raise InvalidInput.field("node", f"{node.name} is a {node.backend} node, not {backend}.")
        return node
    found = Node.objects.filter(backend=backend, is_enabled=True).order_by("-is_local", "name").first()
    if found is None:
        raise NodeNotFound(f"There is no {title} node. Add one, or switch the local one on.")
    return found


def backend_node_names(backend: str) -> list[str]:
    """The enabled nodes of this backend, the local one first."""
    rows = Node.objects.filter(backend=backend, is_enabled=True).order_by("-is_local", "name")
    return list(rows.values_list("name", flat=True))


def backend_nodes_room(backend: str) -> list[dict[str, Any]]:
    """The same, each as ``{"name", "free_bytes"}``: what was free on its disk (libvirt: in its pool) when it
    was last seen; None when its engine does not tell."""
    rows = Node.objects.filter(backend=backend, is_enabled=True).order_by("-is_local", "name")
    sizes = rows.values_list("name", "storage_total_bytes", "storage_used_bytes")
    return [
        {"name": name, "free_bytes": None if total is None or used is None else max(0, total - used)}
        for name, total, used in sizes
    ]


def address_kind(url: str, options: Mapping[str, Any]) -> str:
    """The way to an engine in one word: socket, tls, tcp (in the clear), ssh, or uri."""
    # libvirt names the driver before the way: qemu+tls.
    scheme = url.partition("://")[0].rpartition("+")[2]
    if scheme in ("tcp", "http", "https"):
        is_tls = scheme == "https" or any(options.get(key) for key in ("tls", "tls_verify", "tls_cert_path"))
        return "tls" if is_tls else "tcp"
    return {"unix": "socket", "ssh": "ssh", "tls": "tls"}.get(scheme, "uri")


def is_insecure(url: str, options: Mapping[str, Any]) -> bool:
    """Whether anyone between could listen or take the engine's place."""
    kind = address_kind(url, options)
    return bool(options.get("insecure")) or (kind == "tls" and not options.get("tls_verify", True))


def node_credentials(node: Node) -> dict[str, Any]:
    """What may be shown of what opens a node: names, times and fingerprints, never the thing itself."""
    try:
        secrets, problem = node_secrets(node), ""
    except BackendUnavailable as error:
        secrets, problem = {}, error.message
    options = node.options
    return {
        "kind": address_kind(node.url, options),
        "insecure": is_insecure(node.url, options),
        "verify": bool(options.get("tls_verify", True)),
        "ca": certificate_facts(secrets["tls_ca"]) if "tls_ca" in secrets else None,
        "certificate": certificate_facts(secrets["tls_cert"]) if "tls_cert" in secrets else None,
        "has_key": "tls_key" in secrets or "ssh_key" in secrets,
        "from_files": sorted(key for key, value in options.items() if key.endswith("_path") and value),
        "host_key": key_fingerprint(options["ssh_host_key"]) if options.get("ssh_host_key") else None,
        "problem": problem,
    }


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
        "labels": node.labels,
        "cpu_overcommit": node.cpu_overcommit,
        "memory_overcommit": node.memory_overcommit,
        "is_local": node.is_local,
        "is_enabled": node.is_enabled,
        "insecure": is_insecure(node.url, node.options),
        "last_seen": time_text(node.last_seen),
        "error": node.error,
        "created_at": time_text(node.created_at),
    }


def node_config(node: Node) -> NodeConfig:
    """How the backend layer reaches this node. Raises ``BackendUnavailable`` when its stored
    credentials cannot be opened."""
    access = NodeAccess(node.url, node.options, node_secrets(node))
    return config_for(access, backend=node.backend, name=node.name, node_id=str(node.pk))


def node_secrets(node: Node) -> dict[str, str]:
    """What opens it; for the engine's eyes only."""
    return dict(unseal(node.secrets) or {})


def config_for(access: NodeAccess, *, backend: str, name: str, node_id: str) -> NodeConfig:
    """The same for an address that no node has yet."""
    section = settings.LIBGO.get(_SECTION.get(backend, ""), {})
    return NodeConfig(
        id=node_id,
        name=name,
        backend=backend,
        url=access.url,
        options=access.options,
        connect_timeout_s=min(float(section.get("connection_timeout_s", 3.0)), 60.0),
        request_timeout_s=float(section.get("request_timeout_s", 30.0)),
        stall_timeout_s=float(section.get("stall_timeout_s", 300.0)),
        build_timeout_s=float(section.get("build_timeout_s", 3600.0)),
        layer_sizes_every_s=float(section.get("layer_sizes_every_s", 120.0)),
        secrets=access.secrets,
        runtime_dir=node_runtime_dir(),
    )


def node_runtime_dir() -> str:
    """Where what leads to nodes may keep private files while a process lives."""
    return str(settings.VAR_DIR / "run" / "nodes")
