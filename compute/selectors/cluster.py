"""The whole site at a glance: backends, nodes, what is used and what is allowed."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone

from compute.actor import Actor
from compute.backends.registry import backend_class, backend_known, backend_names, backend_problem
from compute.errors import ComputeError
from compute.models import Instance, Node
from compute.selectors.access import visible
from compute.selectors.limits import site_limits
from compute.selectors.nodes import node_dict
from compute.selectors.page import time_text
from compute.states import InstanceState, NodeStatus


def cluster_status(actor: Actor) -> dict[str, Any]:
    """Counts are of what the actor sees; totals are of the nodes."""
    nodes = list(Node.objects.all())
    used = _used_by_backend(actor)
    backends = {name: _backend_part(name, nodes, used.get(name, {})) for name in backend_names()}
    return {
        "status": _overall([part["status"] for part in backends.values()]),
        "backends": backends,
        "nodes": [node_dict(node) for node in nodes],
        "total_instances": sum(part["instances"] for part in backends.values()),
        "limits": site_limits(),
        "usage": {
            "instances": sum(row["instances"] for row in used.values()),
            "cpu_cores": sum(row["cpu"] for row in used.values()),
            "memory_bytes": sum(row["memory"] for row in used.values()),
            "storage_bytes": sum(row["storage"] for row in used.values()),
        },
        "updated_at": time_text(timezone.now()),
    }


def backends_list() -> list[dict[str, Any]]:
    """One entry per announced backend, switched off ones with their reason."""
    return [backend_info(name) for name in backend_names()]


def backend_info(name: str) -> dict[str, Any]:
    """Raises ``InvalidBackend`` for an unknown name."""
    backend_known(name)
    nodes = list(Node.objects.filter(backend=name))
    status, message, seen = _health_of(name, nodes)
    declared: list[str] = []
    types: list[str] = []
    if not backend_problem(name):
        cls = backend_class(name)
        declared = sorted(str(capability) for capability in cls.capabilities)
        types = sorted(str(kind) for kind in cls.supported_types)
    effective = sorted({word for node in nodes for word in node.capabilities})
    totals = _totals(nodes)
    return {
        "type": name,
        "version": next((node.version for node in nodes if node.version), ""),
        "api_version": next((node.api_version for node in nodes if node.api_version), ""),
        "status": status,
        "capabilities": effective or declared,
        "supported_types": types,
        "nodes": [node_dict(node) for node in nodes],
        "health_check": {"status": status, "last_check": time_text(seen), "message": message},
        "resource_limits": site_limits(),
        "available_resources": totals,
    }


def health() -> dict[str, Any]:
    """``{"status", "backends": {name: {"status", "message", "last_check"}}}``."""
    by_name: dict[str, list[Node]] = {name: [] for name in backend_names()}
    for node in Node.objects.all():
        by_name.setdefault(node.backend, []).append(node)
    backends: dict[str, dict[str, Any]] = {}
    for name, nodes in by_name.items():
        status, message, seen = _health_of(name, nodes)
        backends[name] = {"status": status, "message": message, "last_check": time_text(seen)}
    return {"status": _overall([part["status"] for part in backends.values()]), "backends": backends}


def _used_by_backend(actor: Actor) -> dict[str, dict[str, Any]]:
    rows = visible(actor, Instance.objects.all()).values("backend")
    running = Q(state=InstanceState.RUNNING.value)
    return {
        row["backend"]: {
            "instances": row["instances"],
            "running": row["running"],
            "cpu": row["cpu"] or 0,
            "memory": row["memory"] or 0,
            "storage": row["storage"] or 0,
        }
        for row in rows.annotate(
            instances=Count("id"),
            running=Count("id", filter=running),
            cpu=Sum("cpu_cores"),
            memory=Sum("memory_bytes"),
            storage=Sum("storage_bytes"),
        )
    }


def _backend_part(name: str, nodes: list[Node], used: dict[str, Any]) -> dict[str, Any]:
    own = [node for node in nodes if node.backend == name]
    status, message, _ = _health_of(name, own)
    totals = _totals(own)
    return {
        "status": status,
        "message": message,
        "instances": used.get("instances", 0),
        "running": used.get("running", 0),
        "resources": {
            "cpu": {"used": used.get("cpu", 0), "total": totals["cpu_cores"]},
            "memory": {"used": used.get("memory", 0), "total": totals["memory_bytes"]},
            "storage": {"used": totals["storage_used_bytes"], "total": totals["storage_bytes"]},
        },
    }


def _totals(nodes: list[Node]) -> dict[str, Any]:
    online = [node for node in nodes if node.status in (NodeStatus.ONLINE, NodeStatus.DRAINING)]
    return {
        "cpu_cores": sum(node.cpu_cores for node in online),
        "memory_bytes": sum(node.memory_bytes for node in online),
        "storage_bytes": sum(node.storage_total_bytes or 0 for node in online),
        "storage_used_bytes": sum(node.storage_used_bytes or 0 for node in online),
    }


def _health_of(name: str, nodes: list[Node]) -> tuple[str, str, Any]:
    """Status word, sentence, and when it was last seen well."""
    try:
        backend_class(name)
    except ComputeError as error:
        return "disabled", error.message, None
    seen = max((node.last_seen for node in nodes if node.last_seen), default=None)
    enabled = [node for node in nodes if node.is_enabled]
    if not enabled:
        return "disabled", "No node of this backend is switched on.", seen
    away = [node for node in enabled if not node.is_reachable]
    if not away:
        return "healthy", "All nodes answer.", seen
    reasons = "; ".join(f"{node.name}: {node.error or 'not seen yet'}" for node in away)
    return ("unavailable" if len(away) == len(enabled) else "degraded"), reasons, seen


def _overall(statuses: list[str]) -> str:
    wanted = [status for status in statuses if status != "disabled"]
    if not wanted or all(status == "unavailable" for status in wanted):
        return "unavailable"
    return "healthy" if all(status == "healthy" for status in wanted) else "degraded"
