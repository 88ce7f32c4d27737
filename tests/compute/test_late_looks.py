"""Looks at an engine that are written later than they were made, while operations make and remove."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.db import connection
from django.utils import timezone

from compute.actor import Actor
from compute.backends.base import Backend
from compute.backends.fake import FakeBackend, FakeEngine
from compute.backends.registry import backend_for
from compute.backends.types import InstanceInfo, ResourceInfo, StorageInfo
from compute.errors import BackendTimeout
from compute.execution import sweep
from compute.execution.mirror import (
    instance_adopt,
    instances_gone,
    instances_observe,
    instances_observe_complete,
)
from compute.execution.resources import resources_look, resources_observe_complete
from compute.execution.runner import undo_finish
from compute.models import Event, Instance, InstanceGone, Node, Operation, Resource
from compute.selectors.nodes import node_config
from compute.selectors.resource_users import names_used
from compute.services.instances import InstanceCreate, instance_create, instance_delete
from compute.states import InstanceState, InstanceType
from compute.watcher import NodeWatcher
from dockerapp.backend import DockerBackend
from kvm.backend import KvmBackend

pytestmark = pytest.mark.django_db(transaction=True)

Looking = Callable[[NodeWatcher, Node, Backend], None]


@contextmanager
def _look_held(
    node: Node, look: Looking, asked: str, kind: type[FakeBackend] = FakeBackend
) -> Iterator[None]:
    """The watcher has its answer to what it ``asked`` the engine, and writes it after the block."""
    answered, go_on = threading.Barrier(2), threading.Barrier(2)
    reader = threading.Thread(target=_in_thread, args=(node, look, answered, go_on, asked, kind))
    reader.start()
    answered.wait(10)
    yield
    go_on.wait(10)
    reader.join(10)
    assert not reader.is_alive()


def _in_thread(
    node: Node,
    look: Looking,
    answered: threading.Barrier,
    go_on: threading.Barrier,
    asked: str,
    kind: type[FakeBackend],
) -> None:
    class Held(kind):  # type: ignore[misc, valid-type]
        """The fake engine whose answer is on its way while other things happen."""

    def hold(backend: FakeBackend, *words: Any) -> Any:
        found = getattr(kind, asked)(backend, *words)
        answered.wait(10)
        go_on.wait(10)
        return found

    setattr(Held, asked, hold)
    try:
        look(NodeWatcher(node), node, Held(node_config(node)))
    finally:
        connection.close()


def _reread(engine_id: str) -> Looking:
    return lambda watcher, node, backend: watcher._reread(node, backend, {engine_id})


def _reconcile(watcher: NodeWatcher, node: Node, backend: Backend) -> None:
    watcher._reconcile(node, backend, set())


def _info(engine_id: str, name: str = "out") -> InstanceInfo:
    return InstanceInfo(engine_id, name, InstanceType.CONTAINER, InstanceState.RUNNING, "running")


def test_a_look_begun_before_a_delete_and_written_after_it_brings_nothing_back(
    make: Callable[..., Instance], admin: Actor, fake_node: Node, engine: FakeEngine
) -> None:
    row = make("web")
    held = replace(
        engine.instances[row.engine_id], storage=(StorageInfo("data", "data", "/d", format="volume"),)
    )
    engine.put(held)
    with _look_held(fake_node, _reread(row.engine_id), "instance_get"):
        instance_delete(admin, row.pk, force=True)
        assert not Instance.objects.exists()
    assert not Instance.objects.exists(), "a ghost"
    assert not Event.objects.filter(type="instance.created", message__contains="appeared").exists()
    assert not names_used([fake_node.pk], "volume"), "nothing uses its volume"


def test_what_came_too_late_is_looked_at_again(
    make: Callable[..., Instance], admin: Actor, fake_node: Node
) -> None:
    row, watching = make("web"), NodeWatcher(fake_node)
    with _look_held(
        fake_node, lambda _, node, backend: watching._reread(node, backend, {row.engine_id}), "instance_get"
    ):
        instance_delete(admin, row.pk, force=True)
    assert watching._inbox.take(0).engine_ids == {row.engine_id}


def test_a_list_begun_before_a_create_and_written_after_it_takes_nothing_away(
    make: Callable[..., Instance], fake_node: Node
) -> None:
    with _look_held(fake_node, _reconcile, "instance_list"):
        row = make("web")
    assert Instance.objects.get().pk == row.pk
    assert not Event.objects.filter(type="instance.deleted").exists()


def test_a_full_list_begun_before_a_create_takes_nothing_away_and_tells_of_it(
    make: Callable[..., Instance], fake_node: Node
) -> None:
    began = timezone.now()
    row = make("web")
    assert instances_observe_complete(fake_node, [], began) == {row.engine_id}
    assert Instance.objects.filter(pk=row.pk).exists()
    assert instances_observe_complete(fake_node, [], timezone.now()) == set()
    assert not Instance.objects.exists()


def test_the_same_id_seen_after_it_was_gone_is_there_again(fake_node: Node, make: Any) -> None:
    """libvirt: a domain that was undefined and defined anew keeps its UUID."""
    instances_observe(fake_node, [_info("e1")])
    instances_gone(fake_node, ["e1"])
    assert not Instance.objects.exists()
    assert instances_observe(fake_node, [_info("e1")]) == set()
    assert Instance.objects.get().engine_id == "e1"


def test_of_a_create_that_ended_badly_a_late_look_brings_nothing_back(
    admin: Actor, fake_node: Node, bells: list[str]
) -> None:
    operation = instance_create(admin, InstanceCreate("web", backend="fake", config={"image": "demo"}))
    late = replace(_info("e1", "web"), instance_id=str(operation.instance_uid))
    operation.state = "failed"
    operation.save()
    Instance.objects.update(created_at=timezone.now() - timedelta(hours=1))
    instances_observe_complete(fake_node, [])
    assert not Instance.objects.exists(), "its row had no engine's id yet"
    assert instances_observe(fake_node, [late]) == {"e1"}
    assert not Instance.objects.exists()


def test_the_old_one_of_a_replacement_does_not_come_back(
    make: Callable[..., Instance], fake_node: Node, engine: FakeEngine
) -> None:
    row = make("web")
    old = backend_for(node_config(fake_node)).instance_get(row.engine_id)
    instance_adopt(row, replace(old, engine_id="e-new"))
    assert instances_observe(fake_node, [old]) == {old.engine_id}
    assert Instance.objects.get().engine_id == "e-new"


def test_many_that_vanish_are_a_handful_of_writes(
    fake_node: Node, project: Any, django_assert_max_num_queries: Any
) -> None:
    instances_observe(fake_node, [_info(f"e{number}", f"n{number}") for number in range(500)])
    with django_assert_max_num_queries(40):
        instances_observe_complete(fake_node, [])
    assert not Instance.objects.exists()
    assert Event.objects.filter(type="instance.deleted").count() == 500


def test_notes_of_what_is_gone_are_not_kept(fake_node: Node, project: Any) -> None:
    instances_observe(fake_node, [_info("e1"), _info("e2")])
    instances_gone(fake_node, ["e1"])
    InstanceGone.objects.update(gone_at=timezone.now() - timedelta(hours=1))
    instances_gone(fake_node, ["e2"])
    assert list(InstanceGone.objects.values_list("engine_id", flat=True)) == ["e2"]


def test_what_an_engine_makes_for_a_create_that_was_given_up_is_taken_back_and_never_shown(
    admin: Actor,
    fake_node: Node,
    engine: FakeEngine,
    worker_inline: None,
    django_capture_on_commit_callbacks: Any,
) -> None:
    def hangs(report: Any) -> None:
        raise BackendTimeout("The engine did not answer in time.")

    engine.before_create_ends = hangs
    with django_capture_on_commit_callbacks(execute=True):
        asked = instance_create(admin, InstanceCreate("web", backend="fake", config={"image": "demo"}))
    failed = Operation.objects.get(pk=asked.pk)
    assert (failed.state, failed.error_code, failed.undo_pending) == ("failed", "BACKEND_TIMEOUT", False)
    [step] = failed.undo_steps
    marks = {"instance_id": str(asked.instance_uid), "operation_id": str(asked.pk)}
    late = replace(_info(step["ref"]["engine_id"], "web"), **marks)
    engine.put(late)
    instances_observe(fake_node, [_seen(late)])
    assert not Instance.objects.exists()
    assert sweep.undos_pending() == [str(asked.pk)]
    undo_finish(str(asked.pk))
    assert not engine.instances
    assert sweep.undos_pending() == []
    other = replace(_seen(late), engine_id="e10", name="made-from-its-image")
    instances_observe(fake_node, [other])
    assert Instance.objects.get().name == "made-from-its-image"


def _seen(info: InstanceInfo) -> InstanceInfo:
    return replace(info, observed_at=timezone.now())


def test_marks_that_are_no_ids_are_nobody_s(fake_node: Node, project: Any) -> None:
    odd = replace(_info("e1"), instance_id="x" * 36, operation_id="y" * 36)
    instances_observe_complete(fake_node, [odd])
    assert Instance.objects.get().managed is False


# -- images, networks, pools, volumes ----------------------------------------------------------------


def _look_at(kind: str) -> Looking:
    return lambda watcher, node, backend: resources_look(node, backend, kind)


def _kept(node: Node, kind: str) -> set[str]:
    return set(Resource.objects.filter(node=node, kind=kind).values_list("name", flat=True))


class Stocked(FakeBackend):
    """A fake engine that has things, too: of every kind what was put there."""

    stock: ClassVar[list[str]] = []

    def resource_list(self, kind: str) -> list[ResourceInfo]:
        return [ResourceInfo(kind, name, name) for name in self.stock]


@pytest.mark.parametrize("kind", sorted(DockerBackend.resource_kinds | KvmBackend.resource_kinds))
def test_a_list_of_things_begun_before_one_was_made_and_written_after_it_changes_nothing(
    fake_node: Node, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    backend = Stocked(node_config(fake_node))
    monkeypatch.setattr(Stocked, "stock", ["old"])
    resources_look(fake_node, backend, kind)
    with _look_held(fake_node, _look_at(kind), "resource_list", Stocked):
        # As every operation does when it has made, or removed, something.
        monkeypatch.setattr(Stocked, "stock", ["new"])
        resources_look(fake_node, backend, kind)
    assert _kept(fake_node, kind) == {"new"}
    assert Event.objects.filter(type=f"{kind}.changed").count() == 2, "the late one has nothing to tell"


def test_what_is_known_of_one_kind_keeps_no_look_at_another_from_counting(fake_node: Node) -> None:
    long_ago = timezone.now() - timedelta(minutes=1)
    resources_observe_complete(fake_node, "volume", [ResourceInfo("volume", "v", "v")])
    resources_observe_complete(fake_node, "network", [ResourceInfo("network", "n", "n")], long_ago)
    assert _kept(fake_node, "network") == {"n"} and _kept(fake_node, "volume") == {"v"}


# -- a clock that is put back --------------------------------------------------------------------------


def test_what_was_seen_before_the_clock_was_put_back_is_not_later_than_a_look_of_now(
    fake_node: Node, project: Any
) -> None:
    ahead = timezone.now() + timedelta(hours=1)
    known = [replace(_info(f"e{number}", f"n{number}"), observed_at=ahead) for number in range(3)]
    instances_observe(fake_node, known)
    stopped = replace(_info("e0", "n0"), state=InstanceState.STOPPED)
    assert instances_observe(fake_node, [stopped]) == set(), "nothing to look at again"
    assert Instance.objects.get(engine_id="e0").state == "stopped"
    assert instances_gone(fake_node, ["e1"], timezone.now()) == set()
    InstanceGone.objects.update(gone_at=ahead)
    assert instances_observe(fake_node, [_info("e1", "n1")]) == set(), "it is there again"
    assert set(Instance.objects.values_list("engine_id", flat=True)) == {"e0", "e1", "e2"}
    resources_observe_complete(fake_node, "volume", [ResourceInfo("volume", "a", "a")], ahead)
    resources_observe_complete(fake_node, "volume", [ResourceInfo("volume", "b", "b")])
    assert _kept(fake_node, "volume") == {"b"}


def test_hosts_whose_clocks_are_a_little_apart_still_know_which_look_is_the_later_one(
    fake_node: Node, project: Any
) -> None:
    a_little = timezone.now() + timedelta(seconds=3)
    instances_observe(fake_node, [replace(_info("e1"), state=InstanceState.STOPPED, observed_at=a_little)])
    assert instances_observe(fake_node, [_info("e1")]) == {"e1"}
    assert Instance.objects.get().state == "stopped"
