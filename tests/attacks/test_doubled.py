"""An engine that names things twice, or by the ids of another node."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from compute.backends.types import InstanceInfo, ResourceInfo
from compute.execution.mirror import instances_observe_complete
from compute.execution.resources import resources_observe_complete
from compute.models import Instance, Node, Project, Resource
from compute.states import InstanceState, InstanceType
from tests.attacks.catalogue import attack

pytestmark = pytest.mark.django_db


def _seen(engine_id: str, name: str, **more: str) -> InstanceInfo:
    state = InstanceState.RUNNING
    return InstanceInfo(engine_id, name, InstanceType.CONTAINER, state, status="up", **more)


def _thing(engine_id: str, name: str, project: str = "") -> ResourceInfo:
    return ResourceInfo("image", engine_id, name, project_id=project)


@attack(
    "S75",
    "an engine that lists containers and images twice under one id, and others beside them",
    refused="each is there once, the others too; a list that is right again is believed",
)
def test_what_stands_twice_is_there_once(fake_node: Node, project: Project) -> None:
    twice = [_seen("e1", "one"), _seen("e2", "two"), _seen("e1", "other")]
    for _ in range(2):
        instances_observe_complete(fake_node, twice)
        assert sorted(Instance.objects.values_list("engine_id", flat=True)) == ["e1", "e2"]
    instances_observe_complete(fake_node, [_seen("e2", "two")])
    assert Instance.objects.get().engine_id == "e2"
    for _ in range(2):
        now = datetime.now(timezone.utc)
        things = [_thing("i1", "one"), _thing("i2", "two"), _thing("i1", "other")]
        resources_observe_complete(fake_node, "image", things, now)
        assert sorted(Resource.objects.values_list("engine_id", flat=True)) == ["i1", "i2"]
    resources_observe_complete(fake_node, "image", [_thing("i2", "two")], datetime.now(timezone.utc))
    assert Resource.objects.get().engine_id == "i2"


@attack(
    "S75",
    "an engine that shows what another node has: its ids, and LibGo's own marks of it",
    refused="the other instance stays what and where it is; what the engine shows is a new one, unmanaged",
)
def test_nothing_is_taken_from_another_node(fake_node: Node, project: Project) -> None:
    instances_observe_complete(fake_node, [_seen("e1", "theirs")])
    theirs = Instance.objects.get()
    Instance.objects.filter(pk=theirs.pk).update(managed=True)
    hostile = Node.objects.create(name="hostile", backend="fake", url="fake://hostile")
    marks = {"instance_id": str(theirs.pk), "project_id": str(project.pk), "operation_id": str(theirs.pk)}
    instances_observe_complete(hostile, [_seen("e1", "theirs", **marks)])
    theirs.refresh_from_db()
    assert (theirs.node_id, theirs.engine_id, theirs.name) == (fake_node.pk, "e1", "theirs")
    new = Instance.objects.get(node=hostile)
    assert new.pk != theirs.pk and not new.managed
    instances_observe_complete(hostile, [])
    assert Instance.objects.get() == theirs
