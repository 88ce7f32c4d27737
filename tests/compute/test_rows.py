"""Rows that are written with kept SQL are those that Django would have written."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Model
from django.db.models.functions import Now
from django.utils import timezone

from compute.models import Event, Instance, InstanceGone, Operation, OperationLog
from compute.rows import row_delete, row_insert, row_save, rows_delete, rows_update

pytestmark = pytest.mark.django_db
_AWKWARD = {"quote": "it's “%s” %(name)s", "deep": [None, {"a": 1.5}], "no": None}


def _stored(row: Model) -> dict[str, Any]:
    """Every column, the key aside."""
    fresh = type(row)._default_manager.get(pk=row.pk)
    return {field.attname: getattr(fresh, field.attname) for field in fresh._meta.fields[1:]}


def test_a_row_is_inserted_as_django_does_it(make: Callable[..., Instance]) -> None:
    instance, at = make("one"), timezone.now()
    columns = {
        "action": "instance.start",
        "node": instance.node,
        "instance": instance,
        "instance_uid": instance.pk,
        "params": _AWKWARD,
        "state": "succeeded",
        "lease_until": at,
        # The database has a default for it, too, which is not meant.
        "payload_version": 7,
    }
    for _ in range(2):
        theirs = Operation.objects.create(**columns)
        ours = row_insert(Operation(**columns))
        assert not ours._state.adding and ours.created_at >= theirs.created_at
        assert _stored(ours) == {**_stored(theirs), "created_at": ours.created_at}
        assert _stored(ours)["params"] == _AWKWARD and _stored(ours)["lease_until"] == at


def test_the_key_that_the_database_gives_is_read_back() -> None:
    rows = [row_insert(Event(type="test.happened", message=str(number))) for number in range(3)]
    assert [Event.objects.get(pk=row.seq).message for row in rows] == ["0", "1", "2"]
    assert rows[0].seq < rows[1].seq < rows[2].seq


def test_an_expression_is_of_the_database(make: Callable[..., Instance]) -> None:
    instance = make("one")
    row = Operation(action="instance.start", node=instance.node, dispatched_at=Now())
    row_insert(row)
    found = Operation.objects.get(pk=row.pk)
    assert abs(found.dispatched_at - timezone.now()) < timedelta(seconds=5)
    assert rows_update(Operation, {"pk": row.pk}, {"started_at": Now(), "step": "x"}) == 1
    assert Operation.objects.get(pk=row.pk).started_at >= found.dispatched_at


def test_what_breaks_a_constraint_breaks_it(make: Callable[..., Instance]) -> None:
    instance = make("one")
    columns = {"action": "instance.start", "node": instance.node, "instance": instance}
    row_insert(Operation(**columns))
    with pytest.raises(IntegrityError), transaction.atomic():
        row_insert(Operation(**columns))
    assert Operation.objects.filter(instance=instance, action="instance.start").count() == 1


def test_only_rows_as_they_should_be_are_changed(make: Callable[..., Instance]) -> None:
    instance = make("one")
    row = Operation.objects.create(action="instance.start", node=instance.node, fence=3, step="before")
    other = Operation.objects.create(action="instance.stop", node=instance.node, fence=3)
    ours = {"pk": row.pk, "fence": 3, "payload_version__lte": row.payload_version}
    for wrong in ({"fence": 2}, {"payload_version__lte": 0}, {"pk": uuid.uuid4()}):
        assert rows_update(Operation, {**ours, **wrong}, {"step": "wrong"}) == 0
    assert (
        rows_update(Operation, ours, {"undo_steps": [_AWKWARD], "step": "it's %s", "lease_until": None}) == 1
    )
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.step, row.undo_steps, other.step) == ("it's %s", [_AWKWARD], "")


def test_a_saved_row_has_only_these_columns(make: Callable[..., Instance]) -> None:
    row = make("one", labels={"a": "b"})
    before = row.updated_at
    row.state, row.config, row.name = "paused", _AWKWARD, "not to be written"
    row_save(row, "state", "config", "updated_at")
    found = Instance.objects.get(pk=row.pk)
    assert (found.state, found.config, found.name) == ("paused", _AWKWARD, "one")
    assert found.updated_at == row.updated_at > before
    Instance.objects.all().delete()
    with pytest.raises(DatabaseError):
        row_save(row, "state")


def test_a_line_belongs_to_its_operation(make: Callable[..., Instance]) -> None:
    operation = Operation.objects.create(action="instance.start", node=make("one").node)
    row_insert(OperationLog(operation=operation, line="one"))
    assert [line.line for line in operation.log_lines.all()] == ["one"]


def test_a_row_goes_and_who_refers_to_it_forgets_it(make: Callable[..., Instance]) -> None:
    row, other = make("one"), make("two")
    mine = Operation.objects.create(action="instance.start", node=row.node, instance=row)
    others = Operation.objects.create(action="instance.start", node=row.node, instance=other)
    row_delete(row)
    mine.refresh_from_db()
    others.refresh_from_db()
    assert mine.instance_id is None and others.instance_id == other.pk
    assert list(Instance.objects.all()) == [other]


def test_django_removes_what_takes_others_along(make: Callable[..., Instance]) -> None:
    operation = Operation.objects.create(action="instance.start", node=make("one").node)
    row_insert(OperationLog(operation=operation, line="one"))
    lines = OperationLog.objects.filter(operation_id=operation.pk)
    assert lines.count() == 1
    row_delete(operation)
    assert not lines.exists() and not Operation.objects.filter(pk=operation.pk).exists()


def test_only_rows_as_asked_for_are_removed(make: Callable[..., Instance]) -> None:
    node, now = make("one").node, timezone.now()
    for name, age_s, kept in (("old", 60, None), ("kept", 60, {}), ("new", 0, None)):
        at = now - timedelta(seconds=age_s)
        InstanceGone.objects.create(
            node=node, engine_id=name, instance_uid=uuid.uuid4(), gone_at=at, kept=kept
        )
    rows_delete(InstanceGone, {"node": node.pk, "gone_at__lt": now, "kept__isnull": True})
    assert sorted(InstanceGone.objects.values_list("engine_id", flat=True)) == ["kept", "new"]
