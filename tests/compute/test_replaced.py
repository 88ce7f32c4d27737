"""While one thing of an engine takes the place of another, the mirror shows the one that people know."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from compute.backends.fake import FakeEngine
from compute.backends.types import InstanceInfo
from compute.execution.mirror import instances_observe, instances_observe_complete
from compute.execution.runner import operation_recover
from compute.models import Instance, Operation

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(make: Callable[..., Instance]) -> Instance:
    return make("web")


def _operation(row: Instance, **columns: Any) -> Operation:
    wanted = {"action": "instance.recreate", "state": "running", "fence": 1}
    return Operation.objects.create(
        instance=row, instance_uid=row.pk, instance_name=row.name, node=row.node, **{**wanted, **columns}
    )


def _new(row: Instance, operation: Operation) -> InstanceInfo:
    old = FakeEngine.of(str(row.node_id)).instances[row.engine_id]
    return replace(old, engine_id=uuid.uuid4().hex, instance_id=str(row.pk), operation_id=str(operation.pk))


def test_neither_the_new_one_nor_the_renamed_old_one_is_shown_meanwhile(web: Instance) -> None:
    engine = FakeEngine.of(str(web.node_id))
    new = _new(web, _operation(web))
    old = replace(engine.instances[web.engine_id], name="web.libgo-old-1")
    instances_observe(web.node, [old, new])
    instances_observe_complete(web.node, [old, new])
    assert list(Instance.objects.values_list("name", "engine_id")) == [("web", web.engine_id)]
    instances_observe_complete(web.node, [new])
    assert Instance.objects.get().pk == web.pk, "the row waits for its operation to bind it again"


@pytest.mark.parametrize("gone", [True, False])
def test_a_lost_worker_ends_with_the_one_that_is_there(web: Instance, gone: bool) -> None:
    engine = FakeEngine.of(str(web.node_id))
    operation = _operation(web, lease_until="2020-01-01T00:00:00Z")
    if gone:
        new = _new(web, operation)
        del engine.instances[web.engine_id]
        engine.put(new)
    operation_recover(str(operation.pk))
    operation.refresh_from_db()
    row = Instance.objects.get()
    assert (row.pk, operation.state) == (web.pk, "interrupted")
    assert row.engine_id == (new.engine_id if gone else web.engine_id)
    instances_observe_complete(web.node, list(engine.instances.values()))
    assert Instance.objects.get().pk == web.pk
