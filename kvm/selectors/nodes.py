"""Which libvirt host is meant, and how to speak to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from compute.actor import Actor
from compute.backends.registry import backend_for
from compute.models import Node
from compute.selectors.nodes import backend_node, node_config

if TYPE_CHECKING:
    from kvm.backend import KvmBackend

BACKEND = "kvm"


def kvm_node(actor: Actor, wanted: str = "") -> Node:
    """The libvirt host that is meant; see ``backend_node``."""
    return backend_node(actor, BACKEND, wanted)


def kvm_of(node: Node) -> KvmBackend:
    """The pooled backend of a libvirt host, with its facets."""
    return cast("KvmBackend", backend_for(node_config(node)))
