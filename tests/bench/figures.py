"""Figures of a bench: medians and 95th percentiles, what they are beside, and what was wanted of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

Case = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """``p50`` and ``p95`` in ``unit``; ``ratio``: of the same work done on the engine itself."""

    what: str
    p50: float
    p95: float | None = None
    n: int = 1
    unit: str = "ms"
    ratio: float | None = None
    target: str = ""
    is_met: bool | None = None

    def aim(self, text: str, is_met: bool) -> Row:
        return replace(self, target=text, is_met=is_met)

    def at_most(self, limit: float, of: str = "p50") -> Row:
        """Wanted: not more than ``limit``, of the median, of ``p95`` or of ``ratio``."""
        return self._wanted(limit, of, "at most", lambda value: value <= limit)

    def at_least(self, limit: float, of: str = "p50") -> Row:
        return self._wanted(limit, of, "at least", lambda value: value >= limit)

    def beside(self, other: Row) -> Row:
        return replace(self, ratio=self.p50 / other.p50 if other.p50 else None)

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    def _wanted(self, limit: float, of: str, word: str, holds: Callable[[float], bool]) -> Row:
        value = {"p50": self.p50, "p95": self.p95, "ratio": self.ratio}[of]
        assert value is not None, f"{self.what} has no {of}"
        shown = f"{limit:g} × the engine's" if of == "ratio" else f"{limit:g} {self.unit}"
        return self.aim(f"{word} {shown}{' (p95)' if of == 'p95' else ''}", holds(value))


def row(what: str, values: Sequence[float], unit: str = "ms") -> Row:
    """Of repeats of one thing; of speeds (``…/s``) the slow end is the 95th percentile."""
    assert values, f"{what}: nothing was measured"
    ordered = sorted(values, reverse=unit.endswith("/s"))
    p95 = ordered[math.ceil(len(ordered) * 0.95) - 1] if len(ordered) > 1 else None
    return Row(what, statistics.median(ordered), p95, len(ordered), unit)


def value(what: str, amount: float, unit: str) -> Row:
    """One figure that is not the median of anything."""
    return Row(what, float(amount), unit=unit)


def difference(what: str, more: Row, less: Row) -> Row:
    """What the first adds to the second, in the median."""
    return Row(what, more.p50 - less.p50, n=more.n, unit=more.unit)


def interleaved(cases: Mapping[str, Case], rounds: int) -> dict[str, Row]:
    """Each case once a round, so that the machine's moods hit all alike; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            took_ms = timed_ms(case)
            if number:
                times[name].append(took_ms)
    return {name: row(name, found) for name, found in times.items()}


def timed_ms(case: Case) -> float:
    began = time.perf_counter()
    case()
    return (time.perf_counter() - began) * 1000


def spin_ms() -> float:
    """A fixed piece of work of one core: how fast the machine is at this moment."""
    began = time.perf_counter()
    total = 0
    for number in range(400_000):
        total += number * number % 7
    assert total
    return (time.perf_counter() - began) * 1000


def noise(what: str, times: int = 15) -> Row:
    """The same piece of work so many times; on a quiet machine all take as long."""
    return row(what, [spin_ms() for _ in range(times)])
