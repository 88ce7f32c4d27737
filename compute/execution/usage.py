"""Store points, roll them up, let go of old ones.

The sampler of a node stores what it collected twice a minute into blocks of 10 s; a quarter of an hour
is one block. Once it is over, ``usage_roll`` writes its points into the coarser blocks, each at its
own place: doing so twice changes nothing, so a process that dies in between loses nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import time

from django.db import transaction
from django.db.models import Max, Q

from compute.models import Instance, Node, Project, UsageBlock
from compute.usage.codec import FINE, HOURLY, MINUTE, QUARTER, RESOLUTIONS, Block, Resolution
from compute.usage.points import Collector, Point, points_merge, project_subject

# A sampler may be late by its flush and a busy database.
_ROLL_AFTER_S = 90
_AT_ONCE = 100
# Of what was deleted.
_KEEP_GONE_S = 86400
_WAIT_FOR_ROLL_S = 2 * 86400

BlockKey = tuple[uuid.UUID, int, int]


def usage_store(collector: Collector, *, before_s: float | None = None) -> int:
    """Write what is complete; the number of points. What another sampler wrote to other places of the
    same blocks stays."""
    before_s = time() if before_s is None else before_s
    ready = collector.ready(before_s)
    changes: dict[BlockKey, dict[int, Point]] = {}
    for subject, points in ready.items():
        for start_s, point in points.items():
            block_s = FINE.block_start(start_s)
            key = (uuid.UUID(subject), FINE.step_s, block_s)
            changes.setdefault(key, {})[(start_s - block_s) // FINE.step_s] = point
    _blocks_change(changes, is_rolled=False)
    collector.forget(before_s)
    return sum(map(len, ready.values()))


def usage_roll(*, now_s: float | None = None, limit: int = 2000) -> int:
    """Put the blocks of 10 s that are over into the coarser ones; how many were."""
    over_s = (time() if now_s is None else now_s) - FINE.block_s - _ROLL_AFTER_S
    rows = UsageBlock.objects.filter(step_s=FINE.step_s, is_rolled=False, starts_s__lte=over_s)
    found = list(rows.order_by("starts_s", "subject").values_list("pk", flat=True)[:limit])
    for start in range(0, len(found), _AT_ONCE):
        _roll_some(found[start : start + _AT_ONCE])
    return len(found)


def usage_prune(*, now_s: float | None = None) -> int:
    """Drop what is older than it is kept for; how many rows."""
    now_s, dropped = time() if now_s is None else now_s, 0
    for resolution in RESOLUTIONS:
        old_s = int(now_s) - resolution.keep_s - resolution.block_s
        rows = UsageBlock.objects.filter(step_s=resolution.step_s, starts_s__lte=old_s)
        if resolution is FINE:
            # While no worker rolls them up they wait, but not for ever.
            rows = rows.filter(Q(is_rolled=True) | Q(starts_s__lte=old_s - _WAIT_FOR_ROLL_S))
        dropped += rows.delete()[0]
    return dropped


def usage_prune_gone(*, now_s: float | None = None) -> int:
    """Drop the past of what was deleted a day ago; how many rows."""
    now_s, dropped = time() if now_s is None else now_s, 0
    nodes = set(Node.objects.values_list("pk", flat=True))
    known = nodes | set(Instance.objects.values_list("pk", flat=True))
    for project in Project.objects.values_list("pk", flat=True):
        known |= {project_subject(node, project) for node in nodes}
    subjects = set(UsageBlock.objects.order_by().values_list("subject", flat=True).distinct())
    gone = sorted(subjects - known)
    for start in range(0, len(gone), _AT_ONCE):
        rows = UsageBlock.objects.filter(subject__in=gone[start : start + _AT_ONCE])
        newest = rows.order_by().values_list("subject").annotate(at=Max("updated_s"))
        old = [subject for subject, at in newest if at < now_s - _KEEP_GONE_S]
        dropped += UsageBlock.objects.filter(subject__in=old).delete()[0]
    return dropped


@dataclass
class _Coarser:
    """What rolling changes: places of blocks of one minute, a quarter of an hour, and hours to renew."""

    changes: dict[BlockKey, dict[int, Point]] = field(default_factory=dict)

    def put(self, subject: uuid.UUID, resolution: Resolution, start_s: int, point: Point) -> None:
        block_s = resolution.block_start(start_s)
        key = (subject, resolution.step_s, block_s)
        self.changes.setdefault(key, {})[(start_s - block_s) // resolution.step_s] = point


@transaction.atomic
def _roll_some(pks: list[int]) -> None:
    fine = list(UsageBlock.objects.select_for_update(no_key=True).filter(pk__in=pks, is_rolled=False))
    coarser, hours = _Coarser(), set()
    for row in fine:
        block = Block.unpack(bytes(row.data), FINE.points)
        by_minute: dict[int, list[Point]] = {}
        for place, point in block.filled():
            by_minute.setdefault(place * FINE.step_s // MINUTE.step_s, []).append(point)
        minutes = {number: points_merge(points) for number, points in by_minute.items()}
        for number, point in minutes.items():
            coarser.put(row.subject, MINUTE, row.starts_s + number * MINUTE.step_s, point)
        if minutes:
            coarser.put(row.subject, QUARTER, row.starts_s, points_merge(minutes.values()))
            hours.add((row.subject, row.starts_s // HOURLY.step_s * HOURLY.step_s))
    quarters = _blocks_change(coarser.changes)
    hourly = _Coarser()
    for subject, hour_s in hours:
        hourly.put(subject, HOURLY, hour_s, points_merge(_quarters_of(quarters, subject, hour_s)))
    _blocks_change(hourly.changes)
    UsageBlock.objects.filter(pk__in=[row.pk for row in fine]).update(is_rolled=True)


def _quarters_of(blocks: Mapping[BlockKey, Block], subject: uuid.UUID, hour_s: int) -> list[Point]:
    # A block of quarters begins with an hour, so the four are together.
    block_s = QUARTER.block_start(hour_s)
    block, first = blocks[subject, QUARTER.step_s, block_s], (hour_s - block_s) // QUARTER.step_s
    points = [block.get(first + number) for number in range(HOURLY.step_s // QUARTER.step_s)]
    return [point for point in points if any(value is not None for value in point)]


def _blocks_change(
    changes: Mapping[BlockKey, Mapping[int, Point]], *, is_rolled: bool = True
) -> dict[BlockKey, Block]:
    """Set places of blocks, which are made where they are missing; the blocks as they are then."""
    done: dict[BlockKey, Block] = {}
    keys = sorted(changes)
    for start in range(0, len(keys), _AT_ONCE):
        with transaction.atomic():
            done |= _some_change({key: changes[key] for key in keys[start : start + _AT_ONCE]}, is_rolled)
    return done


def _some_change(changes: Mapping[BlockKey, Mapping[int, Point]], is_rolled: bool) -> dict[BlockKey, Block]:
    points_of = {resolution.step_s: resolution.points for resolution in RESOLUTIONS}
    stored = {(row.subject, row.step_s, row.starts_s): row for row in _rows_of(changes)}
    blocks = {}
    for key, places in changes.items():
        row, points = stored.get(key), points_of[key[1]]
        block = blocks[key] = Block.unpack(bytes(row.data), points) if row else Block(points)
        for place, point in places.items():
            block.set(place, point)
    UsageBlock.objects.bulk_create(
        [
            UsageBlock(
                subject=subject,
                step_s=step_s,
                starts_s=starts_s,
                data=block.pack(),
                is_rolled=is_rolled,
                updated_s=int(time()),
            )
            for (subject, step_s, starts_s), block in blocks.items()
        ],
        update_conflicts=True,
        unique_fields=["subject", "step_s", "starts_s"],
        update_fields=["data", "is_rolled", "updated_s"],
    )
    return blocks


def _rows_of(keys: Iterable[BlockKey]) -> Iterable[UsageBlock]:
    wanted = list(keys)
    rows = UsageBlock.objects.select_for_update(no_key=True).filter(
        subject__in={key[0] for key in wanted},
        step_s__in={key[1] for key in wanted},
        starts_s__in={key[2] for key in wanted},
    )
    return rows.order_by("pk")
