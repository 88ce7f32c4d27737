"""Many at the same moment, each on a connection of its own: the database decides, whichever it is."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from compute.actor import SYSTEM, Actor
from compute.audit import audit
from compute.audit_chain import audit_seal, audit_verify
from compute.backends.types import InstanceInfo
from compute.errors import ComputeError
from compute.execution.lease import operation_claim
from compute.execution.mirror import instances_observe
from compute.execution.turns import turn
from compute.models import AuditSeal, Instance, Node, Operation, Project
from compute.services.idempotency import Idempotency
from compute.services.instances import InstanceCreate, instance_act, instance_create
from compute.services.limit_settings import project_limits_set
from compute.states import Action, InstanceState, InstanceType
from tests.compute.api.conftest import client_for

_AT_ONCE = 8

pytestmark = pytest.mark.django_db(transaction=True)


def _at_once(ask: Callable[[int], Any]) -> Counter[str]:
    """How often each outcome came: the code of an error, else what was returned, as text."""
    barrier = threading.Barrier(_AT_ONCE)

    def one(number: int) -> str:
        try:
            barrier.wait(20)
            return str(ask(number))
        except ComputeError as error:
            return error.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return Counter(pool.map(one, range(_AT_ONCE)))


def _create(actor: Actor, name: str, key: Idempotency | None = None) -> Operation:
    body = InstanceCreate(name=name, backend="fake", config={"image": "demo"})
    return instance_create(actor, body, idempotency=key)


def _seen(node: Node, name: str) -> Instance:
    kind, state = InstanceType.CONTAINER, InstanceState.RUNNING
    instances_observe(node, [InstanceInfo(name, name, kind, state, status="")])
    return Instance.objects.get(engine_id=name)


def test_one_claim_wins(admin: Actor, fake_node: Node, bells: list[str]) -> None:
    operation = _create(admin, "web")
    read = [Operation.objects.get(pk=operation.pk) for _ in range(_AT_ONCE)]
    found = _at_once(lambda number: operation_claim(read[number]))
    assert found == {"True": 1, "False": _AT_ONCE - 1}
    operation.refresh_from_db()
    assert (operation.state, operation.fence) == ("running", 1)


def test_a_limit_lets_in_as_many_as_it_says(
    admin: Actor, project: Project, fake_node: Node, bells: list[str]
) -> None:
    project_limits_set(admin, project.pk, {"max_instances": 3})
    found = _at_once(lambda number: _create(admin, f"web-{number}").action)
    assert found == {"instance.create": 3, "RESOURCE_LIMIT_EXCEEDED": _AT_ONCE - 3}
    assert Instance.objects.count() == Operation.objects.count() == 3


def test_one_name_has_one_owner(admin: Actor, fake_node: Node, bells: list[str]) -> None:
    found = _at_once(lambda _: _create(admin, "web").action)
    assert found == {"instance.create": 1, "NAME_CONFLICT": _AT_ONCE - 1}


def test_one_action_at_a_time(admin: Actor, fake_node: Node, bells: list[str]) -> None:
    row = _seen(fake_node, "web")
    found = _at_once(lambda _: bool(instance_act(admin, str(row.pk), Action.STOP, {})))
    assert found == {"True": 1, "INSTANCE_BUSY": _AT_ONCE - 1}


def test_one_key_is_one_operation(admin: Actor, fake_node: Node, bells: list[str]) -> None:
    key = Idempotency("k", "f" * 64)
    found = _at_once(lambda _: _create(admin, "web", key).pk)
    assert list(found.values()) == [_AT_ONCE], found
    assert Operation.objects.count() == 1


def test_one_has_its_turn() -> None:
    both = threading.Barrier(_AT_ONCE)

    def ask(_: int) -> bool:
        with turn("t", 30) as is_mine:
            both.wait(20)
            return is_mine

    assert _at_once(ask) == {"True": 1, "False": _AT_ONCE - 1}


def test_rows_written_and_sealed_side_by_side_make_one_chain() -> None:
    def ask(number: int) -> str:
        for row in range(5):
            audit(SYSTEM, "test.row", f"{number}.{row}")
            audit_seal(everything=True)
        return ""

    assert _at_once(ask) == {"": _AT_ONCE}
    audit_seal(everything=True)
    verdict = audit_verify()
    assert verdict.holds and verdict.unsealed == 0
    assert list(AuditSeal.objects.order_by("seq").values_list("seq", flat=True)) == list(
        range(1, 5 * _AT_ONCE + 1)
    )


def test_what_is_seen_at_once_is_there_once(fake_node: Node, project: Project) -> None:
    kind, state = InstanceType.CONTAINER, InstanceState.RUNNING
    infos = [InstanceInfo(f"id-{n}", f"web-{n}", kind, state, status="") for n in range(20)]
    told = [infos, infos[::-1]]
    assert _at_once(lambda number: instances_observe(fake_node, told[number % 2]) and "").total() == _AT_ONCE
    assert Instance.objects.count() == 20
    ended = [replace(info, state=InstanceState.STOPPED, observed_at=timezone.now()) for info in infos]
    found = _at_once(lambda n: instances_observe(fake_node, ended[n:] + ended[:n]) and "")
    assert found.total() == _AT_ONCE
    assert set(Instance.objects.values_list("state", flat=True)) == {"stopped"}


def test_of_changes_with_one_condition_one_wins(admin: Actor, fake_node: Node, bells: list[str]) -> None:
    """Also where the change may ask an engine on its way, as that of a node does."""
    project = Project.objects.create(name="race")
    changes = {f"projects/{project.pk}": "description", f"nodes/{fake_node.pk}": "name"}
    for path, field in changes.items():
        where = f"/api/v1/{path}"
        tag = client_for(admin).get(where)["ETag"]

        def ask(number: int, where: str = where, field: str = field, tag: str = tag) -> int:
            change = {field: f"by-{number}"}
            return int(client_for(admin).put(where, change, format="json", HTTP_IF_MATCH=tag).status_code)

        assert _at_once(ask) == {"200": 1, "412": _AT_ONCE - 1}, path
