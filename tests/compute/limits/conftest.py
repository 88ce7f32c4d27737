"""Creates that need only be asked for, and a second node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compute.actor import Actor
from compute.backends.fake import FakeEngine
from compute.backends.registry import backend_forget
from compute.models import Node, Operation
from compute.services.instances import InstanceCreate, instance_create
from tests.compute.api.conftest import as_admin, as_operator, as_stranger

__all__ = ["as_admin", "as_operator", "as_stranger"]

GIB = 1024**3

Ask = Callable[..., Operation]


@pytest.fixture
def ask(operator: Actor, fake_node: Node, bells: list[str]) -> Ask:
    """``ask("web", memory=…)``: the operation of a create that nobody carries out."""

    def _ask(name: str, *, by: Actor | None = None, **more: Any) -> Operation:
        resources: dict[str, Any] = {}
        if "cpu" in more:
            resources["cpu"] = {"cores": more.pop("cpu")}
        if "memory" in more:
            resources["memory"] = {"limit": more.pop("memory")}
        if "storage" in more:
            resources["storage"] = {"total_space": more.pop("storage")}
        body = InstanceCreate(name, "fake", config={"image": "demo"}, resources=resources, **more)
        return instance_create(by or operator, body)

    return _ask


@pytest.fixture
def second_node(fake_node: Node) -> Iterator[Node]:
    node = Node.objects.create(
        name="fake-2",
        backend="fake",
        url="fake://",
        is_reachable=True,
        capabilities=fake_node.capabilities,
        memory_bytes=64 * GIB,
        cpu_cores=32,
        labels={"zone": "b", "disk": "fast"},
    )
    yield node
    backend_forget(str(node.pk))
    FakeEngine.forget_all()
