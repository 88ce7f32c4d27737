"""Rows follow what the engine shows, and tell what changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from django.utils.translation import override

from compute.actor import Actor
from compute.backends.fake import FakeEngine
from compute.backends.types import InstanceInfo, NetworkInfo
from compute.execution.mirror import instances_observe, instances_observe_complete
from compute.models import Event, Instance, Node, Project
from compute.services.instances import InstanceCreate, instance_create
from compute.states import InstanceState, InstanceType
from compute.wording import event_text

pytestmark = pytest.mark.django_db


def _info(engine_id: str, name: str = "out", state: InstanceState = InstanceState.RUNNING) -> InstanceInfo:
    return InstanceInfo(engine_id, name, InstanceType.CONTAINER, state, str(state))


def test_what_was_made_outside_appears_in_the_default_project(fake_node: Node, project: Project) -> None:
    instances_observe_complete(fake_node, [_info("e1")])
    row = Instance.objects.get()
    assert (row.name, row.state, row.managed, row.project) == ("out", "running", False, project)
    assert Event.objects.get().type == "instance.created"


def test_seeing_the_same_again_writes_nothing(fake_node: Node, project: Project) -> None:
    instances_observe_complete(fake_node, [_info("e1")])
    before = Instance.objects.get().updated_at
    instances_observe_complete(fake_node, [_info("e1")])
    assert Instance.objects.get().updated_at == before
    assert Event.objects.count() == 1


def test_a_change_of_state_is_a_fact(fake_node: Node, project: Project) -> None:
    instances_observe(fake_node, [_info("e1")])
    instances_observe(fake_node, [_info("e1", state=InstanceState.STOPPED)])
    assert Instance.objects.get().state == "stopped"
    assert Event.objects.order_by("seq").last().type == "instance.stopped"  # type: ignore[union-attr]


def test_a_fact_says_what_changed(fake_node: Node, project: Project) -> None:
    """“What changed?” is a question that the page of an instance answers: values where they are short."""
    first = replace(_info("e1", "web"), networks=(NetworkInfo("front", ip_address="10.0.0.2"),))
    instances_observe(fake_node, [first])
    networks = (NetworkInfo("front", ip_address="10.0.0.2"), NetworkInfo("back", ip_address="10.1.0.9"))
    second = replace(first, networks=networks, health="healthy", memory_bytes=256 * 2**20, cpu_cores=1.5)
    instances_observe(fake_node, [second])
    fact = Event.objects.order_by("seq").last()
    assert fact is not None and fact.message == (
        "web changed: CPU cores 1.5, health healthy, memory 256 MiB, address 10.1.0.9."
    )
    with override("de"):
        assert event_text(fact.message) == (
            "web hat sich geändert: CPU-Kerne 1.5, Gesundheit gesund, Arbeitsspeicher 256 MiB, "
            "Adresse 10.1.0.9."
        )
    instances_observe(fake_node, [replace(second, config={"env": {"SECRET": "x"}}, memory_bytes=None)])
    fact = Event.objects.order_by("seq").last()
    assert fact is not None and fact.message == "web changed: configuration, memory not set."


def test_a_rename_keeps_the_row(fake_node: Node, project: Project) -> None:
    instances_observe(fake_node, [_info("e1", "old")])
    row = Instance.objects.get()
    instances_observe(fake_node, [_info("e1", "new")])
    assert Instance.objects.get(pk=row.pk).name == "new"


def test_absent_from_a_complete_list_is_gone_from_a_partial_one_is_not(
    fake_node: Node, project: Project
) -> None:
    instances_observe(fake_node, [_info("e1", "a"), _info("e2", "b")])
    instances_observe(fake_node, [_info("e1", "a")])
    assert Instance.objects.count() == 2
    instances_observe_complete(fake_node, [_info("e1", "a")])
    assert list(Instance.objects.values_list("name", flat=True)) == ["a"]
    assert Event.objects.filter(type="instance.deleted", instance_name="b").exists()


def test_a_row_being_made_is_found_by_its_mark_and_never_doubled(
    admin: Actor, fake_node: Node, bells: list[str]
) -> None:
    operation = instance_create(admin, InstanceCreate("web", backend="fake", config={"image": "demo"}))
    seen = replace(_info("e1", "web"), instance_id=str(operation.instance_uid))
    instances_observe_complete(fake_node, [seen])
    row = Instance.objects.get()
    assert (row.pk, row.engine_id, row.managed) == (operation.instance_uid, "e1", True)


def test_an_inherited_mark_does_not_take_over_a_living_row(
    make: Callable[..., Instance], fake_node: Node, engine: FakeEngine
) -> None:
    """Images committed from a container carry its labels to the next one."""
    row = make("web")
    twin = replace(_info("e2", "twin"), instance_id=str(row.pk))
    instances_observe(fake_node, [twin])
    assert Instance.objects.count() == 2
    assert Instance.objects.get(name="twin").managed is False


def test_a_row_whose_create_is_under_way_survives_a_complete_list_without_it(
    admin: Actor, fake_node: Node, bells: list[str]
) -> None:
    instance_create(admin, InstanceCreate("web", backend="fake", config={"image": "demo"}))
    instances_observe_complete(fake_node, [])
    assert Instance.objects.filter(name="web").exists()


def test_an_earlier_look_that_is_written_later_does_not_count_and_is_told(fake_node: Node) -> None:
    """A watcher may have looked before an operation did, and come to write after it."""
    instances_observe(fake_node, [_info("e1", "a")])
    early = replace(_info("e1", "a"), state=InstanceState.PAUSED)
    instances_observe(fake_node, [_info("e1", "a")], stamp=True)
    assert instances_observe(fake_node, [early]) == {"e1"}
    assert Instance.objects.get().state == "running"
    late = replace(early, observed_at=datetime.now(timezone.utc))
    assert instances_observe(fake_node, [late]) == set()
    assert Instance.objects.get().state == "paused"
