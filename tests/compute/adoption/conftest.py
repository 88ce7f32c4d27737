"""What was made outside, as the mirror finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.backends.types import InstanceInfo, NetworkInfo
from compute.execution.mirror import instances_observe
from compute.models import Instance, Node, Project
from compute.states import InstanceState, InstanceType
from tests.compute.api.conftest import client_for

Appear = Callable[..., Instance]


@pytest.fixture
def client(admin: Actor) -> APIClient:
    return client_for(admin)


@pytest.fixture
def shop(project: Project) -> Project:
    return Project.objects.create(name="shop")


@pytest.fixture
def appear(fake_node: Node, project: Project) -> Appear:
    """``appear("web", image=…, network=…, labels=…)``: somebody made it on the engine."""

    def _appear(name: str, *, node: Node | None = None, network: str = "", **more: Any) -> Instance:
        networks = (NetworkInfo(network=network),) if network else ()
        info = InstanceInfo(
            f"id-{name}", name, InstanceType.CONTAINER, InstanceState.RUNNING, "up", networks=networks, **more
        )
        instances_observe(node or fake_node, [info])
        return Instance.objects.get(node=node or fake_node, name=name)

    return _appear
