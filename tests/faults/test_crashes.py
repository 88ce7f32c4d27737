"""What no code expects happens inside an operation: the worker lives on, the operation ends as any other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.failpoints import Rule
from tests.faults.cases import things_of
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.faults.shaky import Shaky
from tests.live import ENDED, until

# By what happens: what is told of it.
_TOLD = {
    "memory": "not enough memory",
    "depth": "An unexpected problem ended this operation (RecursionError)",
    "disk": "LibGo's own disk is full",
    "files": "too many files and connections open",
    "exit": "An unexpected problem ended this operation (SystemExit)",
}


def _all_ended(shaky: Shaky, operations: list[str]) -> bool:
    return all(shaky.outcome(one)["state"] in ENDED for one in operations)


@fault(
    "F30 F32 (part)",
    "memory, stack, disk or files of the worker run out inside an operation, or foreign code wants to exit",
    sees="the operation fails within seconds, and says what was wanting and what to do",
    keeps="nothing half-made; the worker; the same again works",
)
@pytest.mark.parametrize("at", ["make container", "close", "begin"])
def test_what_no_code_expects_ends_one_operation_and_nothing_else(
    shaky: Shaky, at: str, measured: Measured
) -> None:
    live, names = shaky.live, dict(zip(_TOLD, shaky.names(len(_TOLD)), strict=True))
    worker = live.pid("worker")
    shaky.points.set(*(Rule("instance.create", name, at, do) for do, name in names.items()))
    operations = {do: shaky.ask(name) for do, name in names.items()}
    took = until(lambda: _all_ended(shaky, list(operations.values())), "all have ended", 20)
    measured("all had ended after", took)
    shaky.points.set()
    for do, operation in operations.items():
        told: dict[str, Any] = shaky.outcome(operation)
        assert told["state"] == "failed" and _TOLD[do] in told["error"]["message"], (do, told)
        assert not things_of(live, names[do]), do
        assert live.api("GET", f"/compute/instances/{names[do]}").status_code == 404
    assert live.pid("worker") == worker
    shaky.succeeded([shaky.ask(name) for name in names.values()], 40)


@fault(
    "F30 (part)",
    "memory runs out while a failed create is taken back",
    sees="the operation fails at once, and its log says that something has to be cleaned up",
    keeps="nothing: it is taken back at the next try",
)
def test_what_breaks_while_a_create_is_taken_back_is_tried_again(shaky: Shaky, measured: Measured) -> None:
    (name,) = shaky.names(1)
    back = Rule("instance.create", name, "take back container", "memory")
    shaky.points.set(Rule("instance.create", name, "close", "fail"), back)
    operation = shaky.ask(name)
    until(lambda: _all_ended(shaky, [operation]), "it has ended", 20)
    assert "A test let it fail" in shaky.outcome(operation)["error"]["message"]
    log = shaky.live.get(f"/operations/{operation}/log")["items"]
    assert any("Cleanup needed" in line["line"] for line in log), log
    shaky.points.set()
    measured("taken back after", until(lambda: not things_of(shaky.live, name), "nothing is left", 60))


@fault(
    "F30 (part)",
    "memory runs out while a running container is stopped",
    sees="the operation fails and says why; the container is shown as it is",
    keeps="the container; it can be stopped by asking again",
)
def test_a_stop_without_memory_leaves_the_truth_and_can_be_asked_again(shaky: Shaky) -> None:
    (name,) = shaky.names(1)
    shaky.succeeded([shaky.ask(name)], 30)
    path = f"/compute/instances/{name}"
    assert shaky.live.api("PUT", f"{path}/start?wait=60").status_code == 200
    shaky.points.set(Rule("instance.stop", name, "begin", "memory"))
    failed = shaky.live.api("PUT", f"{path}/stop?wait=60")
    assert failed.status_code == 500 and _TOLD["memory"] in failed.json()["error"]["message"], failed.text
    shown = shaky.live.get(path)
    assert shown["state"] == "running" and shown["active_operation"] is None
    shaky.points.set()
    assert shaky.live.api("PUT", f"{path}/stop?wait=60").status_code == 200
    assert shaky.live.get(path)["state"] == "stopped"
