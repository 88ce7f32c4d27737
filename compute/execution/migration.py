"""Moves between nodes: the worker's side, and the deciding afterwards where the one copy is.

While a move is under way both engines show the instance; the mirror leaves it to the operation
(``mirror.moving_ids``), until the step that undoes the move is taken back or no longer needed.
"""

from __future__ import annotations

from typing import Any

from compute.backends.base import Backend
from compute.backends.registry import backend_for
from compute.backends.types import MigrateCheck, MigrateSpec, UndoStep
from compute.errors import BackendUnavailable, InvalidState
from compute.execution.handlers import Work, handler_register
from compute.execution.mirror import MIGRATE, instance_adopt, instance_moved
from compute.models import Instance, Node, Operation
from compute.selectors.nodes import node_config

# The one undo step that needs both nodes, so the runner asks here and not a backend.
STEP = "migration"


def _migrate(work: Work) -> dict[str, Any]:
    params = work.operation.params
    target = _node(params["node"])
    there = backend_for(node_config(target))
    work.report.progress(5, f"Looking at {work.node.name} and {target.name}")
    wanted = MigrateSpec(params["live"], params["max_bytes_per_s"])
    plan = work.backend.migrate_plan(work.engine_id, there, wanted)
    for check in plan.checks:
        work.report.log(f"{'ok' if check.ok else 'NOT OK'}: {check.text}")
    checks_require(plan.checks, target)
    ref = {"node": str(target.pk), "engine_id": work.engine_id, "plan": dict(plan.ref)}
    work.report.undo(UndoStep(STEP, ref))
    work.backend.instance_migrate(work.engine_id, there, plan.ref, work.report)
    instance_moved(work.instance, target, there.instance_get(work.engine_id))
    return {"node": target.name}


def checks_require(checks: tuple[MigrateCheck, ...], target: Node) -> None:
    """Raises ``InvalidState`` with all that is wrong."""
    wrong = [check for check in checks if not check.ok]
    if wrong:
        raise InvalidState(
            f"It cannot move to {target.name}: " + " ".join(check.text for check in wrong),
            state="fixed",
            checks=[{"name": check.name, "message": check.text} for check in wrong],
        )


def migration_settle(operation: Operation, step: UndoStep) -> None:
    """Decide where the one copy is, and bind the row to it. Raises ``BackendUnavailable`` while that
    cannot be decided, or while something is left to tidy on a node that does not answer."""
    if operation.node is None:
        return
    target, engine_id = _node(step.ref["node"]), str(step.ref["engine_id"])
    here, there = backend_for(node_config(operation.node)), backend_for(node_config(target))
    outcome = here.migrate_settle(engine_id, there, step.ref["plan"])
    row = Instance.objects.filter(pk=operation.instance_uid).select_related("node").first()
    if row is not None:
        _bind(row, target if outcome.moved else operation.node, there if outcome.moved else here)
    if not outcome.complete:
        raise BackendUnavailable(f"{operation.node.name} does not answer; it is tidied when it does.")


def _bind(row: Instance, node: Node, backend: Backend) -> None:
    info = backend.instance_get(row.engine_id)
    if row.node_id == node.pk:
        instance_adopt(row, info)
    else:
        instance_moved(row, node, info)


def migration_result(operation: Operation) -> dict[str, Any] | None:
    """The result of a move that went well although its operation did not see the end of it."""
    if operation.action != MIGRATE:
        return None
    row = Instance.objects.filter(pk=operation.instance_uid).select_related("node").first()
    if row is None or str(row.node_id) != operation.params.get("node"):
        return None
    return {"node": row.node.name}


def _node(pk: str) -> Node:
    found = Node.objects.filter(pk=pk).first()
    if found is None:
        raise BackendUnavailable("The node that it was to move to was removed.")
    return found


handler_register(MIGRATE, _migrate)
