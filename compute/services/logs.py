"""May this person read this log, and a piece of it."""

from __future__ import annotations

from compute.actor import Actor
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_for
from compute.backends.types import LogLine, LogQuery
from compute.errors import OperationNotSupported
from compute.models import Instance
from compute.selectors.access import action_require
from compute.selectors.nodes import node_config
from compute.services.nodes import node_require


def logs_check(actor: Actor, instance: Instance) -> None:
    """Raises ``ComputeError`` unless the actor may read this log now: its content needs the permission
    ``console``."""
    action_require(actor, "instance.logs", instance.project_id)
    if str(Capability.LOGS) not in instance.node.capabilities:
        raise OperationNotSupported(f"The node {instance.node.name} keeps no logs.", capability="logs")
    node_require(instance.node)


def logs_piece(actor: Actor, instance: Instance, query: LogQuery) -> list[LogLine]:
    """At most ``query.max_bytes``, oldest first."""
    logs_check(actor, instance)
    if not instance.engine_id:
        return []
    return backend_for(node_config(instance.node)).logs_read(instance.engine_id, query)
