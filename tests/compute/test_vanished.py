"""What LibGo alone knows of an instance that went by itself, and is seen again later."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from compute.backends.types import InstanceInfo
from compute.execution.mirror import instance_forget, instances_observe_complete
from compute.models import Event, Instance, InstanceGone, Node, Project, User
from compute.states import InstanceState, InstanceType

pytestmark = pytest.mark.django_db


def _info() -> InstanceInfo:
    return InstanceInfo("e1", "web", InstanceType.CONTAINER, InstanceState.RUNNING, "running")


@pytest.fixture
def owned(fake_node: Node, project: Project) -> Instance:
    """An instance of somebody's in a project that is not the default one."""
    instances_observe_complete(fake_node, [_info()])
    row = Instance.objects.get()
    row.project = Project.objects.create(name="shop")
    row.created_by = User.objects.create(username="ana")
    row.labels, row.annotations = {"tier": "front"}, {"note": "ours"}
    row.managed, row.adopted_at = True, timezone.now()
    row.save()
    return row


def _back(node: Node, info: InstanceInfo | None = None) -> Instance:
    seen = replace(info or _info(), observed_at=timezone.now())
    instances_observe_complete(node, [seen])
    return Instance.objects.get()


def test_it_is_back_as_what_it_was(fake_node: Node, owned: Instance) -> None:
    instances_observe_complete(fake_node, [])
    assert not Instance.objects.exists()
    row = _back(fake_node)
    for column in ("pk", "project", "created_by", "labels", "annotations", "managed", "adopted_at"):
        assert getattr(row, column) == getattr(owned, column), column
    assert not row.adoption_due
    assert Event.objects.order_by("-seq")[0].message == "web is back on " + fake_node.name + "."
    assert not InstanceGone.objects.filter(kept__isnull=False).exists()


def test_what_was_removed_as_somebody_wished_is_nobodys_when_it_is_seen_again(
    fake_node: Node, owned: Instance, project: Project
) -> None:
    instance_forget(owned)
    row = _back(fake_node)
    assert (row.project, row.managed, row.labels, row.created_by) == (project, False, {}, None)
    assert row.pk != owned.pk


def test_another_of_the_same_name_inherits_nothing(
    fake_node: Node, owned: Instance, project: Project
) -> None:
    instances_observe_complete(fake_node, [])
    row = _back(fake_node, replace(_info(), engine_id="e2"))
    assert (row.project, row.managed, row.labels) == (project, False, {})


def test_on_another_node_it_is_a_stranger(fake_node: Node, owned: Instance, project: Project) -> None:
    instances_observe_complete(fake_node, [])
    other = Node.objects.create(name="other", backend=fake_node.backend, url="fake://other")
    row = _back(other)
    assert (row.project, row.managed) == (project, False)


def test_without_its_project_it_is_a_stranger(fake_node: Node, owned: Instance, project: Project) -> None:
    instances_observe_complete(fake_node, [])
    owned.project.delete()
    row = _back(fake_node)
    assert (row.project, row.managed, row.created_by) == (project, False, None)


def test_notes_end_after_a_month_and_of_strangers_none_is_kept(
    fake_node: Node, owned: Instance, project: Project
) -> None:
    instances_observe_complete(fake_node, [])
    InstanceGone.objects.update(gone_at=timezone.now() - timedelta(days=31))
    stranger = replace(_info(), engine_id="e9", name="stranger", observed_at=timezone.now())
    instances_observe_complete(fake_node, [stranger])
    instances_observe_complete(fake_node, [])
    assert not InstanceGone.objects.filter(kept__isnull=False).exists()
