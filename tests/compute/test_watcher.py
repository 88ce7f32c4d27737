"""The watcher over the fake engine: changes from outside, loss, return."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from compute import watcher
from compute.backends.fake import FakeBackend, FakeEngine
from compute.backends.types import EngineEvent, InstanceInfo, ResourceInfo
from compute.errors import BackendUnavailable
from compute.models import Instance, Node, Project, Resource
from compute.states import InstanceState, InstanceType

pytestmark = pytest.mark.django_db(transaction=True)


def _until(true: Callable[[], Any], what: str, within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


@pytest.fixture
def watching(project: Project, fake_node: Node) -> Iterator[None]:
    with _watching(fake_node):
        yield


@contextmanager
def _watching(fake_node: Node) -> Iterator[None]:
    stopping = threading.Event()

    def run() -> None:
        watcher.watch(stopping)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    _until(lambda: Node.objects.get(pk=fake_node.pk).listed_at, "the first complete list")
    yield
    stopping.set()
    thread.join(10)
    assert not thread.is_alive()


def _out(engine_id: str) -> InstanceInfo:
    return InstanceInfo(
        engine_id, f"out-{engine_id}", InstanceType.CONTAINER, InstanceState.RUNNING, "running"
    )


def test_outside_changes_reach_the_mirror(watching: None, engine: FakeEngine) -> None:
    engine.put(_out("e1"))
    _until(lambda: Instance.objects.filter(engine_id="e1").exists(), "appears", 1.5)
    engine.remove("e1")
    _until(lambda: not Instance.objects.filter(engine_id="e1").exists(), "vanishes", 1.5)


def test_a_burst_is_read_in_full(watching: None, engine: FakeEngine) -> None:
    for number in range(120):
        engine.put(_out(f"e{number}"))
    _until(lambda: Instance.objects.count() == 120, "all 120 appear")


def test_a_lost_engine_is_marked_with_its_reason_and_comes_back(
    watching: None, engine: FakeEngine, fake_node: Node
) -> None:
    engine.put(_out("e1"))
    _until(Instance.objects.exists, "appears")
    engine.fail_with = BackendUnavailable("The plug was pulled.")
    _until(lambda: not Node.objects.get(pk=fake_node.pk).is_reachable, "unreachable", 2)
    _until(lambda: "plug" in Node.objects.get(pk=fake_node.pk).error, "the reason")
    assert Instance.objects.exists(), "the last known state stays"
    engine.instances.pop("e1")
    engine.fail_with = None
    _until(lambda: Node.objects.get(pk=fake_node.pk).is_reachable, "back")
    _until(lambda: not Instance.objects.exists(), "what vanished meanwhile is gone")


def test_a_second_watcher_waits_for_the_lease(watching: None, fake_node: Node) -> None:
    other = watcher.NodeWatcher(fake_node)
    Node.objects.filter(pk=fake_node.pk).update(watcher="another:1")
    assert other._lease_take() is False


def test_images_networks_and_volumes_are_listed_on_connect_and_when_an_event_names_them(
    monkeypatch: pytest.MonkeyPatch, project: Project, fake_node: Node, engine: FakeEngine
) -> None:
    held = [ResourceInfo("volume", "a", "a")]
    monkeypatch.setattr(FakeBackend, "resource_kinds", frozenset({"volume"}))
    monkeypatch.setattr(FakeBackend, "resource_list", lambda backend, kind: list(held))
    with _watching(fake_node):
        _until(lambda: Resource.objects.filter(name="a").exists(), "listed on connect", 1.5)
        held.append(ResourceInfo("volume", "b", "b"))
        for subscriber in engine.subscribers:
            subscriber.put(EngineEvent("b", "create", kind="volume"))
        _until(lambda: Resource.objects.filter(name="b").exists(), "listed after the event", 1.5)
