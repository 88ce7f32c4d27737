"""Which engine is meant, and how to speak to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from compute.actor import Actor
from compute.backends.registry import backend_for
from compute.models import Node
from compute.selectors.nodes import backend_node, node_config

if TYPE_CHECKING:
    from dockerapp.backend import DockerBackend

BACKEND = "docker"


def docker_node(actor: Actor, wanted: str = "") -> Node:
    """The Docker node that is meant; see ``backend_node``."""
    return backend_node(actor, BACKEND, wanted)


def docker_of(node: Node) -> DockerBackend:
    """The pooled backend of a Docker node, with its facets."""
    return cast("DockerBackend", backend_for(node_config(node)))
