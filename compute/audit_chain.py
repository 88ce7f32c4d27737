"""The chain of hashes over the audit: sealing, verifying, and cutting off what is old.

Rows are written side by side, as cheaply as any row. A sealer takes those that have no seal and links
them in order: ``hash = SHA-256(hash before + canonical JSON of the row)``. Who changes, removes or
slips in a row afterwards breaks every link behind it. Whoever can rewrite the whole chain is caught by
an *anchor*, a hash that was carried elsewhere (``manage.py audit_verify --write-anchor``).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from compute.actor import SYSTEM
from compute.audit import audit
from compute.audit_guards import guards_missing
from compute.models import AuditEvent, AuditSeal, AuditTombstone
from compute.sealing import audit_keys

_BATCH = 500
_BATCHES = 20
# A row that was sealed late because its transaction took long; older ones are found once an hour.
_LATE = timedelta(hours=1)
_LATE_MAX = timedelta(minutes=10)
_COLUMNS = (
    "id timestamp user_uid username method action target target_uid project_uid outcome result "
    "remote_address user_agent request_id details"
).split()


def row_canonical(row: AuditEvent) -> bytes:
    """The row as JSON with sorted keys and times in UTC: the same bytes for the same content."""
    shown = {name: getattr(row, name) for name in _COLUMNS}
    return orjson.dumps(shown, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)


def link_hash(before: str, row: AuditEvent) -> str:
    """SHA-256, as hexadecimal text, of the hash before and the row."""
    return hashlib.sha256(before.encode() + row_canonical(row)).hexdigest()


def audit_seal(*, everything: bool = False) -> int:
    """Link what has no seal yet; how many rows. A second sealer at the same moment gets nothing."""
    sealed = 0
    for _ in range(_BATCHES):
        count = _seal_batch(everything)
        sealed += count
        if count < _BATCH:
            break
    return sealed


def _unsealed() -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(~Exists(AuditSeal.objects.filter(audit_id=OuterRef("pk"))))


def _seal_batch(everything: bool) -> int:
    rows = _unsealed()
    if not everything:
        rows = rows.filter(timestamp__gte=timezone.now() - _LATE)
    try:
        with transaction.atomic():
            found = list(rows.order_by("id")[:_BATCH])
            seq, before = _head()
            links = []
            for row in found:
                seq, before = seq + 1, link_hash(before, row)
                links.append(AuditSeal(seq=seq, audit_id=row.pk, hash=before))
            AuditSeal.objects.bulk_create(links)
    except IntegrityError:
        # Another process was quicker; what is left, the next round takes.
        return 0
    return len(links)


def _head() -> tuple[int, str]:
    """Place and hash of the last link."""
    last = AuditSeal.objects.order_by("-seq").first()
    if last is not None:
        return last.seq, last.hash
    cut = AuditTombstone.objects.order_by("-up_to_seq").first()
    return (cut.up_to_seq, cut.hash) if cut else (0, "")


@dataclass
class Verdict:
    """``broken`` says what is wrong at ``broken_seq``; empty when the chain holds. ``unsealed`` rows wait
    for the sealer; ``warnings`` are no break."""

    rows: int = 0
    first_seq: int = 0
    last_seq: int = 0
    last_hash: str = ""
    cut_rows: int = 0
    unsealed: int = 0
    broken: str = ""
    broken_seq: int | None = None
    broken_id: int | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.broken

    def breaks(self, seq: int | None, what: str, row_id: int | None = None) -> Verdict:
        self.broken, self.broken_seq, self.broken_id = what, seq, row_id
        return self


def audit_verify(anchor: dict[str, Any] | None = None) -> Verdict:
    """Read the whole chain and say where it breaks first. ``anchor`` is one of ``anchor_make``."""
    found = Verdict()
    cut = _tombstones_check(found)
    if found.broken:
        return found
    seq, before = (cut.up_to_seq, cut.hash) if cut else (0, "")
    found.first_seq = seq + 1
    anchored = anchor is None or (anchor["seq"], anchor["hash"]) == (seq, before)
    for seal, row in _links(seq):
        seq += 1
        if seal.seq != seq:
            return found.breaks(seq, "A link is missing here.")
        if row is None:
            return found.breaks(seq, f"Row {seal.audit_id} was removed.", seal.audit_id)
        before = link_hash(before, row)
        if before != seal.hash:
            return found.breaks(seq, f"Row {row.pk} or its link was changed.", row.pk)
        if anchor is not None and anchor["seq"] == seq:
            anchored = anchor["hash"] == before
            if not anchored:
                return found.breaks(seq, "The chain is not the one of the anchor.", row.pk)
        found.rows += 1
    found.last_seq, found.last_hash = seq, before
    if anchor is not None and not anchored:
        if anchor["seq"] > seq:
            return found.breaks(anchor["seq"], "The chain ends before the anchor: its end was cut off.")
        found.warnings.append("The anchor is older than what is kept; it proves nothing here.")
    _loose_ends(found)
    return found


def _links(after: int) -> Iterator[tuple[AuditSeal, AuditEvent | None]]:
    """Every seal behind ``after`` with its row, in pieces of bounded size."""
    while seals := list(AuditSeal.objects.filter(seq__gt=after).order_by("seq")[:_BATCH]):
        rows = AuditEvent.objects.in_bulk([seal.audit_id for seal in seals])
        for seal in seals:
            yield seal, rows.get(seal.audit_id)
        after = seals[-1].seq


def _tombstones_check(found: Verdict) -> AuditTombstone | None:
    last = None
    for stone in AuditTombstone.objects.order_by("up_to_seq"):
        if not any(hmac.compare_digest(stone.signature, _signed(stone, key)) for key in audit_keys()):
            found.breaks(stone.up_to_seq, "A cut is recorded that this site did not sign.")
            return None
        found.cut_rows += stone.rows
        last = stone
    return last


def _loose_ends(found: Verdict) -> None:
    found.unsealed = _unsealed().count()
    if _unsealed().filter(timestamp__lt=timezone.now() - _LATE_MAX).exists():
        found.warnings.append("Rows older than ten minutes have no link: does the worker run?")
    missing = guards_missing(connection)
    if missing:
        found.warnings.append(f"Triggers are missing; run “manage.py prepare”: {', '.join(missing)}.")


def audit_cut(older_than: datetime, reason: str) -> int:
    """Let go of all rows before the first one that is not ``older_than``: first a signed tombstone, then
    the rows, which the triggers only now let go. How many went. The cut itself is audited."""
    _finish_cut()
    kept = AuditEvent.objects.filter(timestamp__gte=older_than).values("pk")
    first_kept = AuditSeal.objects.filter(audit_id__in=kept).order_by("seq").first()
    seals = AuditSeal.objects.order_by("-seq")
    last = (seals.filter(seq__lt=first_kept.seq) if first_kept else seals).first()
    if last is None:
        return 0
    with transaction.atomic():
        count = AuditSeal.objects.filter(seq__lte=last.seq).count()
        stone = AuditTombstone(
            up_to_seq=last.seq,
            hash=last.hash,
            rows=count,
            newest_at=older_than,
            reason=reason[:200],
            cut_at=timezone.now(),
        )
        stone.signature = _signed(stone, audit_keys()[0])
        stone.save()
        told = {"up_to_seq": last.seq, "hash": last.hash, "rows": count, "reason": reason}
        audit(SYSTEM, "audit.cut", details=told)
    _finish_cut()
    return count


def _finish_cut() -> None:
    """Remove what tombstones cover; also what a process that died left of it."""
    cut = AuditTombstone.objects.order_by("-up_to_seq").first()
    while cut is not None:
        seals = AuditSeal.objects.filter(seq__lte=cut.up_to_seq).order_by("seq")[:_BATCH]
        gone = dict(seals.values_list("seq", "audit_id"))
        if not gone:
            return
        with transaction.atomic():
            AuditEvent.objects.filter(pk__in=list(gone.values())).delete()
            AuditSeal.objects.filter(seq__in=list(gone)).delete()


def anchor_make() -> dict[str, Any]:
    """The head of the chain, to be kept where nobody who can write the database reaches it."""
    seq, head = _head()
    return {"seq": seq, "hash": head, "at": timezone.now().isoformat()}


def _signed(stone: AuditTombstone, key: bytes) -> str:
    told = [stone.up_to_seq, stone.hash, stone.rows, stone.newest_at, stone.reason, stone.cut_at]
    return hmac.new(key, orjson.dumps(told, option=orjson.OPT_UTC_Z), hashlib.sha256).hexdigest()
