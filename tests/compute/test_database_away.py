"""A database that is locked by somebody else: who asks is told to come again, who works waits."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import DataError, connection
from django.test import Client

from compute.actor import Actor
from compute.api.exception_handler import database_problem
from compute.backends.fake import FakeEngine
from compute.backends.types import Reporter
from compute.execution import runner, sweep
from compute.models import Instance, Node, Operation, Turn
from compute.services.instances import InstanceCreate, instance_create
from tests.compute.api.conftest import client_for

pytestmark = pytest.mark.django_db(transaction=True)

_BODY = {"name": "web", "backend": "fake", "config": {"image": "demo"}}


class Lock:
    """A writer of another process that does not come to its end."""

    def __init__(self) -> None:
        self._other = sqlite3.connect(connection.settings_dict["NAME"], check_same_thread=False)
        self._other.isolation_level = None

    def take(self) -> None:
        self._other.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        if self._other.in_transaction:
            self._other.execute("ROLLBACK")

    def close(self) -> None:
        self.release()
        self._other.close()


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lock]:
    """Waiting for it takes 50 ms here, not twenty seconds; also on connections that are made anew."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "init_command", "PRAGMA busy_timeout=50")
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.05)
    connection.close()
    held = Lock()
    yield held
    held.close()
    connection.close()


def test_a_change_is_503_and_reading_goes_on(
    lock: Lock, admin: Actor, fake_node: Node, bells: list[str]
) -> None:
    as_admin = client_for(admin)
    lock.take()
    answer = as_admin.post("/api/v1/compute/instances", _BODY, format="json")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5"), answer.content
    error = answer.json()["error"]
    assert error["code"] == "DATABASE_UNAVAILABLE" and "try again" in error["message"]
    assert as_admin.get("/api/v1/compute/instances").json()["total"] == 0
    lock.release()
    assert as_admin.post("/api/v1/compute/instances", _BODY, format="json").status_code == 202


def test_a_page_says_so_too(lock: Lock, admin: Actor, client: Client) -> None:
    client.raise_request_exception = False
    lock.take()
    answer = client.post("/login", {"username": "ada", "password": "correct horse battery"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert b"database" in answer.content and b"Traceback" not in answer.content


def test_what_does_not_fit_is_the_askers_fault() -> None:
    assert database_problem(DataError("a null character"))[0] == "INVALID_INPUT"


def test_work_under_way_waits_and_ends_well(
    lock: Lock, admin: Actor, fake_node: Node, engine: FakeEngine, bells: list[str]
) -> None:
    def lock_for_a_while(report: Reporter) -> None:
        lock.take()
        threading.Timer(0.8, lock.release).start()

    engine.before_create_ends = lock_for_a_while
    operation = instance_create(admin, InstanceCreate("web", "fake", config={"image": "demo"}))
    runner.operation_execute(str(operation.pk))
    operation.refresh_from_db()
    assert (operation.state, operation.error_code) == ("succeeded", ""), operation.error_message
    assert len(engine.instances) == 1 and Instance.objects.get().state == "running"


def test_after_a_pause_of_all_nobody_is_taken_for_lost(
    admin: Actor, fake_node: Node, bells: list[str], make_lost: Callable[[], Operation]
) -> None:
    lost = make_lost()
    assert not sweep.looked_lately(), "nobody has looked before"
    assert sweep.looked_lately()
    assert sweep.operations_lost() == [str(lost.pk)]
    Turn.objects.update(until="2020-01-01T00:00:00Z")
    assert not sweep.looked_lately() and sweep.looked_lately()


@pytest.fixture
def make_lost(admin: Actor, fake_node: Node) -> Callable[[], Operation]:
    def made() -> Operation:
        columns = {"state": "running", "fence": 1, "lease_until": "2020-01-01T00:00:00Z"}
        return Operation.objects.create(action="instance.stop", node=fake_node, **columns)

    return made
