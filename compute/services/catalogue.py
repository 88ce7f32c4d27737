"""What a new instance can be made from, for forms; asked of the engines within a deadline."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from compute.actor import Actor
from compute.backends.base import Backend
from compute.backends.registry import backend_for, backend_problem
from compute.errors import ComputeError
from compute.models import Node
from compute.selectors.nodes import node_config

_WITHIN_S = 2.0
_threads = ThreadPoolExecutor(4, thread_name_prefix="catalogue")


def choices(actor: Actor, backend: str) -> dict[str, Any]:
    """``{"images": [ImageInfo], "networks": [HostNetwork], "nodes": [name], "problem": str}`` of the
    first node that answers; a slow engine gives empty lists and a reason, never a slow page."""
    found: dict[str, Any] = {"images": [], "networks": [], "nodes": [], "problem": backend_problem(backend)}
    rows = list(Node.objects.filter(backend=backend, is_enabled=True))
    found["nodes"] = [node.name for node in rows]
    if found["problem"]:
        return found
    node = next((node for node in rows if node.is_reachable), None)
    if node is None:
        found["problem"] = next((row.error for row in rows if row.error), "No node of this kind answers.")
        return found
    try:
        images, networks = _threads.submit(_ask, backend_for(node_config(node))).result(_WITHIN_S)
    except FutureTimeoutError:
        return {**found, "problem": f"{node.name} is slow to answer; type the names by hand."}
    except ComputeError as error:
        return {**found, "problem": error.message}
    return {**found, "images": images, "networks": networks}


def _ask(backend: Backend) -> tuple[list[Any], list[Any]]:
    return backend.image_list(), backend.network_list()
