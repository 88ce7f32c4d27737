"""The past of usage, as series for charts and programs."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from time import time
from typing import Any

from django.db.models import Q

from compute.actor import Actor
from compute.errors import InvalidInput
from compute.live import usage_recent_many
from compute.models import Node, Project, UsageBlock
from compute.selectors.instances import instance_get
from compute.selectors.nodes import node_get
from compute.selectors.page import time_text
from compute.usage.codec import FINE, RESOLUTIONS, Block, Merger, Resolution
from compute.usage.points import COLUMNS, STEP_S, Collector, Point, project_subject

POINTS_MAX = 1500
_POINTS_WANTED = 750
# The finer the points that are read, the longer it takes.
_READ_AT_MOST = 3000
_AT_MOST_S = 400 * 86400
_BY_STEP = {resolution.step_s: resolution for resolution in RESOLUTIONS}
# Steps that people read easily; what is chosen when none is asked for.
_NICE_S = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)

Columns = list[list[float | None]]


@dataclass(frozen=True)
class Span:
    """From ``start_s`` to ``end_s``, both multiples of ``interval_s``, read from ``resolution``."""

    start_s: int
    end_s: int
    interval_s: int
    resolution: Resolution

    @property
    def times(self) -> range:
        return range(self.start_s, self.end_s, self.interval_s)


def instance_history(actor: Actor, instance_id: str, span: Span) -> dict[str, Any]:
    """Raises ``InstanceNotFound``."""
    row = instance_get(actor, instance_id)
    return _answer(span, columns_of([row.pk], span)[row.pk])


def node_history(actor: Actor, node_id: str, span: Span) -> dict[str, Any]:
    """Raises ``NodeNotFound``."""
    node = node_get(actor, node_id)
    return _answer(span, columns_of([node.pk], span)[node.pk])


def project_history(project: Project, span: Span) -> dict[str, Any]:
    """What its instances used together, on all nodes."""
    nodes = Node.objects.values_list("pk", flat=True)
    subjects = [project_subject(node, project.pk) for node in nodes]
    return _answer(span, _together(subjects, span))


def cluster_history(actor: Actor, span: Span) -> dict[str, Any]:
    """All hosts together; one of ours that is two nodes, for two backends, counts once."""
    rows = Node.objects.order_by("name").values_list("pk", "hostname", "is_local")
    hosts = {hostname if is_local and hostname else str(pk): pk for pk, hostname, is_local in rows}
    return _answer(span, _together(list(hosts.values()), span))


def _together(subjects: list[uuid.UUID], span: Span) -> Columns:
    total: Columns = [[None] * len(span.times) for _ in COLUMNS]
    for columns in columns_of(subjects, span).values():
        total = [_added(one, other) for one, other in zip(total, columns, strict=True)]
    return total


def span_for(
    start: datetime | None, end: datetime | None, interval_s: int | None, *, now_s: float | None = None
) -> Span:
    """What is asked for, with what was left out: the last hour, and an interval that gives a chart its
    points. The interval becomes a multiple of what is still kept of the time at ``start``. Raises
    ``InvalidInput`` for times in no order and for more than ``POINTS_MAX`` points."""
    now_s = time() if now_s is None else now_s
    end_s = now_s if end is None else min(end.timestamp(), now_s)
    start_s = end_s - 3600 if start is None else start.timestamp()
    if start_s >= end_s:
        raise InvalidInput.field("start", "must be before end, and in the past.")
    if end_s - start_s > _AT_MOST_S:
        raise InvalidInput.field("start", f"may be {_AT_MOST_S // 86400} days before end at most.")
    kept = [each for each in RESOLUTIONS if start_s >= now_s - each.keep_s] or [RESOLUTIONS[-1]]
    finest = kept[0]
    if interval_s is None:
        interval_s = next(
            (
                step
                for step in _NICE_S
                if step >= finest.step_s and (end_s - start_s) / step <= _POINTS_WANTED
            ),
            _NICE_S[-1],
        )
    if not STEP_S <= interval_s <= _AT_MOST_S:
        raise InvalidInput.field("interval", f"must be {STEP_S} s or more.")
    fitting = [each for each in kept if interval_s % each.step_s == 0] or [finest]
    light = [each for each in fitting if (end_s - start_s) / each.step_s <= _READ_AT_MOST]
    resolution = light[0] if light else fitting[-1]
    interval_s = -(-interval_s // resolution.step_s) * resolution.step_s
    first_s = int(start_s) // interval_s * interval_s
    last_s = -(-int(end_s) // interval_s) * interval_s
    if (last_s - first_s) // interval_s > POINTS_MAX:
        least = -(-int(end_s - start_s) // POINTS_MAX)
        raise InvalidInput.field(
            "interval", f"would give more than {POINTS_MAX} points; ask for {least} s or more, or less time."
        )
    return Span(first_s, last_s, interval_s, resolution)


def columns_of(subjects: list[uuid.UUID], span: Span) -> dict[uuid.UUID, Columns]:
    """For each subject its columns (``compute.usage.points.COLUMNS``), a value for each of the span's
    times; None where nothing was measured."""
    found = {subject: Merger(span.start_s, span.interval_s, len(span.times)) for subject in subjects}
    newest = dict.fromkeys(subjects, 0)
    resolution = span.resolution
    parts = Q(
        step_s=resolution.step_s, starts_s__gt=span.start_s - resolution.block_s, starts_s__lt=span.end_s
    )
    if resolution is not FINE:
        # What has not been rolled up yet.
        parts |= Q(step_s=FINE.step_s, is_rolled=False, starts_s__lt=span.end_s)
    for row in UsageBlock.objects.filter(parts, subject__in=subjects):
        kept = _BY_STEP[row.step_s]
        block = Block.unpack(bytes(row.data), kept.points)
        found[row.subject].add_block(block, row.starts_s, row.step_s)
        if kept is FINE:
            last_s = row.starts_s + block.last() * row.step_s
            newest[row.subject] = max(newest[row.subject], last_s)
    for subject, points in _not_stored_yet(subjects, span).items():
        for at_s, point in points:
            if at_s > newest[subject]:
                found[subject].add_point(at_s, point)
    return {subject: merger.columns() for subject, merger in found.items()}


def _not_stored_yet(subjects: Iterable[uuid.UUID], span: Span) -> dict[uuid.UUID, list[tuple[int, Point]]]:
    """The newest samples, as points of 10 s."""
    if span.end_s < time() - 600:
        return {}
    collector = Collector()
    for subject, samples in usage_recent_many(str(each) for each in subjects).items():
        collector.feed(subject, samples)
    ready = collector.ready(float("inf"))
    return {uuid.UUID(subject): sorted(points.items()) for subject, points in ready.items()}


def _added(one: list[float | None], other: list[float | None]) -> list[float | None]:
    pairs = zip(one, other, strict=True)
    return [b if a is None else a if b is None else a + b for a, b in pairs]


def _answer(span: Span, columns: Columns) -> dict[str, Any]:
    """Columns, because that is a third of the bytes of rows; ``null`` where nothing was measured."""
    series: dict[str, dict[str, list[float | None]]] = {}
    for (metric, stat), values in zip(COLUMNS, columns, strict=True):
        if metric != "storage_used_bytes" or any(value is not None for value in values):
            series.setdefault(metric, {})[stat] = [None if v is None else round(v, 2) for v in values]
    return {
        "start": _time(span.start_s),
        "end": _time(span.end_s),
        "interval_s": span.interval_s,
        "resolution_s": span.resolution.step_s,
        "timestamps": [_time(at) for at in span.times],
        "series": series,
    }


def _time(at_s: int) -> str:
    return str(time_text(datetime.fromtimestamp(at_s, timezone.utc)))
