"""Which engine is meant, and how to speak to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from compute.actor import Actor
from compute.backends.registry import backend_class, backend_for
from compute.errors import InvalidInput, NodeNotFound
from compute.models import Node
from compute.selectors.nodes import node_config, node_get

if TYPE_CHECKING:
    from dockerapp.backend import DockerBackend

BACKEND = "docker"


def docker_node(actor: Actor, wanted: str = "") -> Node:
    """The Docker node asked for by id or name; without a wish the local one, else the first by name.

    Raises ``NodeNotFound``, ``InvalidInput`` for a node of another backend, and
    ``BackendUnavailable`` when Docker is switched off.
    """
    backend_class(BACKEND)
    if wanted:
        node = node_get(actor, wanted)
        if node.backend != BACKEND:
            raise InvalidInput.field("node", f"{node.name} is a {node.backend} node, not docker.")
        return node
    found = Node.objects.filter(backend=BACKEND, is_enabled=True).order_by("-is_local", "name").first()
    if found is None:
        raise NodeNotFound("There is no Docker node. Add one, or switch the local one on.")
    return found


def docker_of(node: Node) -> DockerBackend:
    """The pooled backend of a Docker node, with its facets."""
    return cast("DockerBackend", backend_for(node_config(node)))
