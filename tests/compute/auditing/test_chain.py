"""The audit cannot be rewritten unseen: triggers, the chain, anchors, and cuts that stay verifiable."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from compute.actor import SYSTEM, Actor
from compute.audit import audit
from compute.audit_chain import anchor_make, audit_cut, audit_seal, audit_verify
from compute.audit_guards import guards_lay, guards_lift, guards_missing
from compute.execution.sweep import retention_apply
from compute.models import AuditEvent, AuditSeal, AuditTombstone
from tests.attacks.catalogue import attack

pytestmark = pytest.mark.django_db


def _rows(count: int) -> list[AuditEvent]:
    for number in range(count):
        audit(SYSTEM, "test.row", f"row {number}", details={"number": number, "half": number / 2})
    return list(AuditEvent.objects.filter(action="test.row").order_by("id"))[-count:]


def _age(rows: list[AuditEvent], days: int) -> None:
    """As if they were written long ago, before they are sealed; the triggers would refuse it."""
    AuditEvent.objects.filter(pk__in=[row.pk for row in rows]).update(
        timestamp=timezone.now() - timedelta(days=days)
    )


def _refused(statement: str) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement)


@attack(
    "S85", "UPDATE and DELETE on the audit in the database", refused="refused by triggers", audit="as it was"
)
def test_the_database_itself_refuses_to_change_or_remove_rows(guarded: None) -> None:
    _rows(2)
    audit_seal(everything=True)
    for table in ("compute_auditevent", "compute_auditseal"):
        _refused(f"DELETE FROM {table}")
    _refused("UPDATE compute_auditevent SET username = 'somebody else'")
    _refused("UPDATE compute_auditseal SET hash = ''")
    assert AuditEvent.objects.count() >= 2 and audit_verify().holds


def test_missing_triggers_are_told_and_laid_again(guarded: None) -> None:
    assert guards_missing(connection) == []
    guards_lift(connection)
    assert len(guards_missing(connection)) >= 6
    assert any("Triggers are missing" in warning for warning in audit_verify().warnings)
    guards_lay(connection)
    assert audit_verify().warnings == []


def test_rows_are_linked_in_order_and_later_ones_go_on_from_there() -> None:
    _rows(3)
    assert audit_seal() >= 3 and audit_seal() == 0
    first = audit_verify()
    assert first.holds and first.unsealed == 0 and first.rows == AuditEvent.objects.count()
    _rows(2)
    assert audit_verify().unsealed == 2
    audit_seal()
    second = audit_verify()
    assert second.holds and second.last_seq == first.last_seq + 2


def test_a_row_written_before_and_committed_after_others_is_linked_too() -> None:
    """Numbers are given when a row is written, not when it is committed."""
    late, early = _rows(2)
    AuditEvent.objects.filter(pk=late.pk).delete()
    audit_seal()
    late.save(force_insert=True)
    assert late.pk < early.pk
    assert audit_seal() == 1 and audit_verify().holds


@attack(
    "S85",
    "whatever may be done to a row of the audit",
    refused="the chain names the first broken place",
    audit="the broken place",
)
@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda row: AuditEvent.objects.filter(pk=row.pk).update(username="mallory"), "changed"),
        (lambda row: AuditEvent.objects.filter(pk=row.pk).update(details={"number": 7}), "changed"),
        (lambda row: AuditEvent.objects.filter(pk=row.pk).delete(), "removed"),
        (lambda row: AuditSeal.objects.filter(audit_id=row.pk).delete(), "missing"),
        (lambda row: AuditSeal.objects.filter(audit_id=row.pk).update(hash="0" * 64), "changed"),
    ],
    ids=["who", "details", "row gone", "link gone", "link changed"],
)
def test_whatever_is_done_to_a_row_the_first_broken_place_is_named(harm: Any, told: str) -> None:
    rows = _rows(5)
    audit_seal(everything=True)
    place = AuditSeal.objects.get(audit_id=rows[2].pk).seq
    harm(rows[2])
    verdict = audit_verify()
    assert not verdict.holds and told in verdict.broken and verdict.broken_seq == place
    with pytest.raises(CommandError, match=f"broken at {place}"):
        call_command("audit_verify")


@attack(
    "S85",
    "cutting the end of the audit off, or making all of it anew",
    refused="an anchor shows it",
    audit="the missing end",
)
def test_an_anchor_shows_that_the_end_was_cut_off_or_all_was_made_anew(tmp_path: Path) -> None:
    rows = _rows(4)
    audit_seal(everything=True)
    path = tmp_path / "anchor.json"
    out = io.StringIO()
    call_command("audit_verify", write_anchor=path, stdout=out)
    assert "The audit holds" in out.getvalue()
    _rows(1)
    call_command("audit_verify", anchor=path, stdout=out)
    last = rows[-1].pk
    AuditSeal.objects.filter(audit_id__gte=last).delete()
    AuditEvent.objects.filter(pk__gte=last).delete()
    assert audit_verify().holds, "without an anchor the shortened chain looks whole"
    with pytest.raises(CommandError, match="cut off"):
        call_command("audit_verify", anchor=path)
    AuditEvent.objects.filter(pk=rows[0].pk).update(username="mallory")
    AuditSeal.objects.all().delete()
    _rows(5)
    audit_seal(everything=True)
    assert audit_verify().holds
    with pytest.raises(CommandError, match="not the one of the anchor"):
        call_command("audit_verify", anchor=path)


def test_what_is_old_is_cut_off_and_the_rest_still_holds(guarded: None, settings: Any) -> None:
    settings.LIBGO = {**settings.LIBGO, "audit": {"keep_days": 30, "event_days": 30}}
    guards_lift(connection)
    old = _rows(3)
    _age(old, 40)
    guards_lay(connection)
    new = _rows(2)
    audit_seal(everything=True)
    anchor = anchor_make()
    retention_apply()
    assert not AuditEvent.objects.filter(pk__in=[row.pk for row in old]).exists()
    assert AuditEvent.objects.filter(pk__in=[row.pk for row in new]).count() == 2
    audit_seal(everything=True)
    verdict = audit_verify(anchor)
    assert verdict.holds and verdict.cut_rows == 3
    assert verdict.first_seq == AuditTombstone.objects.get().up_to_seq + 1
    assert AuditEvent.objects.get(action="audit.cut").details["rows"] == 3
    _refused("DELETE FROM compute_audittombstone")
    _refused(f"DELETE FROM compute_auditevent WHERE id = {new[0].pk}")
    retention_apply()
    assert AuditTombstone.objects.count() == 1, "one cut, not one for every run"


def test_a_cut_that_nobody_signed_is_no_cut() -> None:
    """Who can write the database can insert a tombstone, but not sign it."""
    _rows(3)
    audit_seal(everything=True)
    seal = AuditSeal.objects.order_by("seq")[1]
    now = timezone.now()
    AuditTombstone.objects.create(
        up_to_seq=seal.seq, hash=seal.hash, rows=2, newest_at=now, reason="", cut_at=now, signature="0" * 64
    )
    AuditSeal.objects.filter(seq__lte=seal.seq).delete()
    verdict = audit_verify()
    assert not verdict.holds and "did not sign" in verdict.broken


def test_a_cut_that_was_interrupted_is_finished(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    old = _rows(3)
    _age(old, 40)
    audit_seal(everything=True)
    with monkeypatch.context() as patch:
        patch.setattr("compute.audit_chain._finish_cut", lambda: None)
        assert audit_cut(timezone.now() - timedelta(days=30), "test") == 3
    assert AuditEvent.objects.filter(pk__in=[row.pk for row in old]).count() == 3
    assert audit_cut(timezone.now() - timedelta(days=30), "test") == 0
    assert not AuditEvent.objects.filter(pk__in=[row.pk for row in old]).exists()
    assert audit_verify().holds
