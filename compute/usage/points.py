"""From samples to points.

A *sample* is what the sampler read (``compute.live.usage_dict``): levels and counters. *Measures* are
levels and rates. A *point* sums up the measures of one span of time, a value for each of ``COLUMNS``;
None where nothing was measured: a gap stays a gap.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

METRICS = (
    "cpu_percent",
    "memory_bytes",
    "network_rx_bytes_per_s",
    "network_tx_bytes_per_s",
    "disk_read_bytes_per_s",
    "disk_write_bytes_per_s",
    "storage_used_bytes",
)
# Counters of a sample, and the rates that come of them.
RATE_OF = {name.removesuffix("_per_s"): name for name in METRICS if name.endswith("_per_s")}
# The lowest rate says little, and a disk does not fill and empty within a minute.
_STATS: dict[str, tuple[str, ...]] = {
    "cpu_percent": ("avg", "min", "max"),
    "memory_bytes": ("avg", "min", "max"),
}
_STATS |= {name: ("avg", "max") for name in RATE_OF.values()} | {"storage_used_bytes": ("avg",)}
COLUMNS = tuple((metric, stat) for metric in METRICS for stat in _STATS[metric])
STEP_S = 10
# Counters that were read farther apart than this say nothing about the time between.
_APART_MAX_S = 30.0
_WAITING_MAX = 360

Measures = dict[str, float | None]
Point = tuple[float | None, ...]
_POSITION = {column: place for place, column in enumerate(COLUMNS)}


class _Bucket:
    """Sum, number, least and most of each measure within one span."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, measures: Measures) -> None:
        for name, value in measures.items():
            if value is None:
                continue
            found = self._values.get(name)
            if found is None:
                self._values[name] = [value, 1.0, value, value]
                continue
            found[0] += value
            found[1] += 1.0
            found[2] = min(found[2], value)
            found[3] = max(found[3], value)

    def point(self) -> Point:
        places: list[float | None] = [None] * len(COLUMNS)
        for name, (total, count, least, most) in self._values.items():
            stats = {"avg": total / count, "min": least, "max": most}
            for stat in _STATS[name]:
                places[_POSITION[name, stat]] = stats[stat]
        return tuple(places)


class Collector:
    """What one sampler has seen and not yet stored."""

    def __init__(self) -> None:
        self._counters: dict[str, tuple[float, dict[str, float]]] = {}
        self._buckets: dict[str, dict[int, _Bucket]] = {}

    def measures(self, subject: str, at_s: float, sample: Mapping[str, Any]) -> Measures:
        """Levels as they are, counters as rates since the sample before; a counter that went back (the
        instance was started anew) has no rate."""
        found: Measures = {
            name: _number(sample.get(name)) for name in METRICS if name not in RATE_OF.values()
        }
        now = {name: number for name in RATE_OF if (number := _number(sample.get(name))) is not None}
        before_s, before = self._counters.get(subject, (0.0, {}))
        self._counters[subject] = (at_s, now)
        apart_s = at_s - before_s
        for name, rate in RATE_OF.items():
            found[rate] = _number(sample.get(rate))
            if name in now and name in before and 0 < apart_s <= _APART_MAX_S:
                grown = now[name] - before[name]
                found[rate] = grown / apart_s if grown >= 0 else None
        return found

    def put(self, subject: str, at_s: float, measures: Measures) -> None:
        """Count them to the span of ``STEP_S`` in which they were taken."""
        buckets = self._buckets.setdefault(subject, {})
        start_s = int(at_s) // STEP_S * STEP_S
        if start_s not in buckets:
            if len(buckets) >= _WAITING_MAX:
                # The database has been away for an hour.
                del buckets[min(buckets)]
            buckets[start_s] = _Bucket()
        buckets[start_s].add(measures)

    def feed(self, subject: str, samples: Iterable[Mapping[str, Any]]) -> None:
        """Samples as Redis keeps them, oldest first. The first span is left out: part of it may be cut
        off."""
        first = None
        for sample in samples:
            at_s = datetime.fromisoformat(str(sample["timestamp"]).replace("Z", "+00:00")).timestamp()
            first = int(at_s) // STEP_S if first is None else first
            measures = self.measures(subject, at_s, sample)
            if int(at_s) // STEP_S > first:
                self.put(subject, at_s, measures)

    def ready(self, before_s: float) -> dict[str, dict[int, Point]]:
        """Points of the spans that ended by then: ``{subject: {start_s: point}}``."""
        found = {
            subject: {
                start: bucket.point() for start, bucket in buckets.items() if start + STEP_S <= before_s
            }
            for subject, buckets in self._buckets.items()
        }
        return {subject: points for subject, points in found.items() if points}

    def forget(self, before_s: float) -> None:
        """They are stored; and what is not seen any more is not remembered either."""
        for subject, buckets in list(self._buckets.items()):
            for start in [start for start in buckets if start + STEP_S <= before_s]:
                del buckets[start]
            if not buckets:
                del self._buckets[subject]
        old_s = before_s - 10 * _APART_MAX_S
        self._counters = {key: seen for key, seen in self._counters.items() if seen[0] > old_s}


def measures_sum(many: Iterable[Measures]) -> Measures:
    """Of a node whose engine does not tell about its host: all its instances together."""
    total: Measures = dict.fromkeys(METRICS)
    for measures in many:
        for name, value in measures.items():
            if value is not None:
                total[name] = (total[name] or 0.0) + value
    return total


def project_subject(node_id: uuid.UUID, project_id: uuid.UUID) -> uuid.UUID:
    """Under which is kept what a project uses of one node: each node has a sampler of its own."""
    return uuid.uuid5(node_id, str(project_id))


def points_merge(points: Iterable[Point]) -> Point:
    """One point over the time of many: the mean of the means, the least, the most."""
    columns = list(zip(*points, strict=True))
    if not columns:
        return (None,) * len(COLUMNS)
    merged: list[float | None] = []
    for (_, stat), column in zip(COLUMNS, columns, strict=True):
        known = [value for value in column if value is not None]
        if not known:
            merged.append(None)
        elif stat == "avg":
            merged.append(sum(known) / len(known))
        else:
            merged.append(min(known) if stat == "min" else max(known))
    return tuple(merged)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value >= 0 else None
