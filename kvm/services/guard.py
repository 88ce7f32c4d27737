"""The guard of a machine's configuration: one function for every door (create, clone, template ...);
each noun has its own check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.actor import Actor
from compute.models import Node, Project
from kvm.services.cloud_init import cloud_init_sealed
from kvm.services.machine_guard import machine_guarded
from kvm.services.storage_guard import storage_guarded


def config_guard(actor: Actor, project: Project, node: Node, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration, completed and without what must not lie in the database."""
    checked = machine_guarded(actor, project, node, config)
    return cloud_init_sealed(storage_guarded(actor, project, node, checked))
