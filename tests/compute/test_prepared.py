"""Queries whose text is made once find what the same queryset finds, for every key and in every thread."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson
import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from compute.actor import Actor
from compute.models import Instance
from compute.selectors.access import visible
from compute.selectors.instances import InstanceFilter, instances_rendered
from compute.selectors.prepared import Prepared, Repeated

pytestmark = pytest.mark.django_db


def test_each_key_finds_its_own(make: Callable[..., Instance]) -> None:
    made = [make(name) for name in ("one", "two", "three")]
    prepared = Prepared(lambda key: Instance.objects.filter(pk=key).select_related("node"))
    for row in (*made, *reversed(made)):
        with CaptureQueriesContext(connection) as asked:
            found = prepared.first(row.pk)
            assert found == row and found.name == row.name and found.node.is_reachable
            assert found.config == row.config and found.created_at == row.created_at
        assert len(asked) == 1, "its node came with it"
    assert prepared.first(uuid.uuid4()) is None


def test_values_are_those_of_the_queryset(make: Callable[..., Instance]) -> None:
    row = make("one")
    names = ("id", "name", "node__is_reachable", "config", "created_at", "cpu_cores")
    prepared = Prepared(lambda key: Instance.objects.filter(pk=key).values(*names))
    for _ in range(2):
        assert prepared.rows(row.pk) == list(Instance.objects.filter(pk=row.pk).values(*names))


def test_keys_stand_where_they_were_put(
    make: Callable[..., Instance], operator: Actor, stranger: Actor
) -> None:
    row = make("one")
    of_member = Prepared(lambda user, key: visible(Actor(user, ""), Instance.objects.filter(pk=key)), keys=2)
    assert operator.user_id is not None and stranger.user_id is not None
    for _ in range(2):
        assert of_member.rows(operator.user_id, row.pk) == [row]
        assert of_member.rows(stranger.user_id, row.pk) == []
        assert of_member.rows(row.pk, operator.user_id) == []


def test_texts_stand_behind_ids(make: Callable[..., Instance]) -> None:
    row = make("one")
    row.name = "it's 50 % “one”"
    row.save()
    named = Prepared(lambda node, name: Instance.objects.filter(node=node, name=name), texts=1)
    for _ in range(2):
        assert named.rows(row.node_id, row.name) == [row]
        assert named.rows(row.node_id, "two") == named.rows(uuid.uuid4(), row.name) == []


@pytest.mark.django_db(transaction=True)
def test_each_thread_has_its_own(make: Callable[..., Instance]) -> None:
    made = [make(f"one-{number}") for number in range(4)]
    prepared = Prepared(lambda key: Instance.objects.filter(pk=key))

    def found(number: int) -> Any:
        try:
            return [prepared.first(made[(number + turn) % 4].pk) for turn in range(20)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        for number, rows in enumerate(pool.map(found, range(4))):
            assert rows == [made[(number + turn) % 4] for turn in range(20)]


def test_the_same_list_again_is_found_as_it_is_now(
    make: Callable[..., Instance], admin: Actor, operator: Actor, stranger: Actor
) -> None:
    """The text of its query is kept, not what it found; and it is kept for whom it was made."""
    make("one", labels={"team": "shop"})
    wanted = InstanceFilter(labels={"team": "shop"}, sort=["-name"])

    def names(actor: Actor) -> list[str]:
        page = instances_rendered(actor, wanted)
        assert page.total == len(page.items)
        return [row["name"] for row in orjson.loads(orjson.dumps(page.items))]

    for _ in range(2):
        assert names(admin) == names(operator) == ["one"] and names(stranger) == []
    row = make("two", labels={"team": "shop"})
    before = instances_rendered(admin, wanted)
    assert names(admin) == names(operator) == ["two", "one"] and names(stranger) == []
    row.state = "paused"
    row.save(update_fields=["state"])
    after = instances_rendered(admin, wanted)
    assert before.digest != after.digest == instances_rendered(admin, wanted).digest
    row.delete()
    assert names(admin) == names(operator) == ["one"]
    assert names(replace(stranger, is_admin=True)) == ["one"] and names(stranger) == []


def test_only_the_last_texts_are_kept(make: Callable[..., Instance]) -> None:
    made = [make(f"one-{number}") for number in range(3)]
    repeated, compiled = Repeated(most=2), []

    def rows(row: Instance) -> list[tuple[Any, ...]]:
        def queryset() -> Any:
            compiled.append(row.name)
            return Instance.objects.filter(pk=row.pk).values_list("name")

        return repeated.rows(row.name, queryset)

    for row in (*made, made[2], made[0]):
        assert rows(row) == [(row.name,)]
    assert compiled == ["one-0", "one-1", "one-2", "one-0"]
    assert repeated.rows("none", lambda: Instance.objects.filter(pk__in=[]).values_list("name")) == []
