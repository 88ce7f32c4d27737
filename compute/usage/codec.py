"""How points are kept: many of one thing in one binary block.

A value becomes a 16-bit number on a logarithmic scale, 0.2 % apart, so it is kept to 0.1 %: charts show
no more, and what is left compresses well. A block is made of columns; the least and the most are kept
as the distance from the mean, low and high bytes apart, then zlib. A block never needs more than
``HEADER + 2 bytes × columns × points`` (and a little of zlib's own), whatever the values are.
"""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from compute.usage.points import COLUMNS, STEP_S, Point

_HEADER = struct.Struct("<BHH")
_VERSION = 1
# 0 is "not measured", 1 is nothing at all; then LEAST, and each next one is a RATIO more.
_LEAST, _RATIO = 0.01, math.log(1.002)
_CODE_MAX = 0xFFFF
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True)
class Resolution:
    """``points`` of ``step_s`` make a block; blocks are kept for ``keep_s`` after their end."""

    step_s: int
    points: int
    keep_s: int

    @property
    def block_s(self) -> int:
        return self.step_s * self.points

    def block_start(self, at_s: float) -> int:
        return int(at_s) // self.block_s * self.block_s

    @property
    def blocks_max(self) -> int:
        """How many of one thing there are at once: what is kept, and the one being filled."""
        return -(-self.keep_s // self.block_s) + 1


FINE = Resolution(STEP_S, 90, 6 * _HOUR)
MINUTE = Resolution(_MINUTE, 360, 2 * _DAY)
QUARTER = Resolution(15 * _MINUTE, 336, 14 * _DAY)
HOURLY = Resolution(_HOUR, 336, 366 * _DAY)
RESOLUTIONS = (FINE, MINUTE, QUARTER, HOURLY)
_RATES_ONLY = len(COLUMNS) - 1


def year_bytes_max(columns: int = _RATES_ONLY) -> int:
    """The most that one thing can take after a year: an instance has no column for storage."""
    return sum(each.blocks_max * block_bytes_max(each.points, columns) for each in RESOLUTIONS)


def block_bytes_max(points: int, columns: int = _RATES_ONLY) -> int:
    raw = 2 * columns * points
    # zlib stores what it cannot make smaller, with 5 bytes for each 16 KiB at most.
    return _HEADER.size + raw + 5 * (raw // 16384 + 1) + 6


class Block:
    """The points of one thing over one stretch of time, by their place in it."""

    def __init__(self, points: int) -> None:
        self.points = points
        self._columns = [array("H", bytes(2 * points)) for _ in COLUMNS]

    def set(self, place: int, point: Point) -> None:
        for column, value in zip(self._columns, point, strict=True):
            column[place] = code_of(value)

    def get(self, place: int) -> Point:
        values = _values()
        return tuple(values[column[place]] for column in self._columns)

    def last(self) -> int:
        """The last place that holds anything; -1 where none does."""
        return max(_length(column) for column in self._columns) - 1

    def filled(self) -> Iterator[tuple[int, Point]]:
        """The places that hold anything, in order."""
        values = _values()
        for place, codes in enumerate(zip(*self._columns, strict=True)):
            if any(codes):
                yield place, tuple([values[code] for code in codes])

    def pack(self) -> bytes:
        mask, count, parts = 0, self.last() + 1, []
        base = self._columns[0]
        for place, ((_, stat), column) in enumerate(zip(COLUMNS, self._columns, strict=True)):
            if stat == "avg":
                base = column
            if not any(column):
                continue
            mask |= 1 << place
            kept = column[:count] if stat == "avg" else _differences(column[:count], base)
            raw = kept.tobytes()
            parts += [raw[0::2], raw[1::2]]
        return _HEADER.pack(_VERSION, mask, count) + zlib.compress(b"".join(parts), 6)

    @classmethod
    def unpack(cls, data: bytes, points: int) -> Block:
        """Raises ``ValueError`` for what is no block of so many points."""
        block = cls(points)
        version, mask, count = _HEADER.unpack_from(data)
        if version != _VERSION or count > points:
            raise ValueError(f"This is no block of {points} points.")
        raw, place_of = zlib.decompress(data[_HEADER.size :]), 0
        base = block._columns[0]
        for place, (_, stat) in enumerate(COLUMNS):
            kept = array("H", bytes(2 * count))
            if mask >> place & 1:
                joined = bytearray(2 * count)
                joined[0::2] = raw[place_of : place_of + count]
                joined[1::2] = raw[place_of + count : place_of + 2 * count]
                place_of += 2 * count
                kept = array("H", bytes(joined))
                if stat != "avg":
                    kept = _differences(kept, base)
                block._columns[place][:count] = kept
            if stat == "avg":
                base = kept
        return block


class Merger:
    """Puts points of any step together, column by column, into ``count`` spans of ``interval_s``: the mean
    of the means, the least, the most. What lies outside is left out."""

    def __init__(self, start_s: int, interval_s: int, count: int) -> None:
        self._start_s, self._interval_s, self._count = start_s, interval_s, count
        self._sums = [[0.0] * count for _ in COLUMNS]
        self._numbers = [[0] * count for _ in COLUMNS]

    def add_block(self, block: Block, starts_s: int, step_s: int) -> None:
        pieces = list(self._pieces(starts_s, step_s, block.points))
        table = _values()
        for place, (_, stat) in enumerate(COLUMNS):
            codes = block._columns[place]
            if stat == "avg":
                self._add_means(place, codes, pieces)
                continue
            for span, low, high in pieces:
                part: Sequence[int] = codes[low:high]
                best = max(part)
                if stat == "min" and best:
                    best = min(part) or min(code for code in part if code)
                if best:
                    self._keep(place, stat, span, table[best] or 0.0)

    def _add_means(self, place: int, codes: array[int], pieces: list[tuple[int, int, int]]) -> None:
        table, sums, numbers = _numbers(), self._sums[place], self._numbers[place]
        values = [table[code] for code in codes]
        for span, low, high in pieces:
            missing = codes[low:high].count(0)
            if missing < high - low:
                sums[span] += sum(values[low:high])
                numbers[span] += high - low - missing

    def add_point(self, at_s: int, point: Point) -> None:
        span = (at_s - self._start_s) // self._interval_s
        if not 0 <= span < self._count:
            return
        for place, (_, stat) in enumerate(COLUMNS):
            value = point[place]
            if value is None:
                continue
            if stat == "avg":
                self._sums[place][span] += value
                self._numbers[place][span] += 1
            else:
                self._keep(place, stat, span, value)

    def columns(self) -> list[list[float | None]]:
        """A value for each span; None where there was none."""
        return [
            [total / number if number else None for total, number in zip(totals, numbers, strict=True)]
            for totals, numbers in zip(self._sums, self._numbers, strict=True)
        ]

    def _keep(self, place: int, stat: str, span: int, value: float) -> None:
        if self._numbers[place][span]:
            value = (min if stat == "min" else max)(value, self._sums[place][span])
        self._sums[place][span], self._numbers[place][span] = value, 1

    def _pieces(self, starts_s: int, step_s: int, points: int) -> Iterator[tuple[int, int, int]]:
        """Which places of a block belong to which span: ``(span, low, high)``."""
        low = max(0, -((starts_s - self._start_s) // step_s))
        while low < points:
            span = (starts_s + low * step_s - self._start_s) // self._interval_s
            if span >= self._count:
                return
            ends_s = self._start_s + (span + 1) * self._interval_s
            high = min(points, -(-(ends_s - starts_s) // step_s))
            yield span, low, high
            low = high


def code_of(value: float | None) -> int:
    if value is None:
        return 0
    if value < _LEAST:
        return 1
    return min(_CODE_MAX, 2 + round(math.log(value / _LEAST) / _RATIO))


@lru_cache(maxsize=1)
def _values() -> list[float | None]:
    """The value of each code, with the digits that it can have."""
    top = math.log(1e18 / _LEAST) / _RATIO
    known = [float(f"{_LEAST * math.exp(code * _RATIO):.4g}") for code in range(int(top))]
    return [None, 0.0, *known, *[known[-1]] * (_CODE_MAX - len(known) - 1)]


@lru_cache(maxsize=1)
def _numbers() -> list[float]:
    """The same with nothing for what was not measured: it adds nothing to a sum."""
    return [value or 0.0 for value in _values()]


def _length(column: array[int]) -> int:
    """Without the empty places at its end."""
    return next((n for n in range(len(column), 0, -1) if column[n - 1]), 0)


def _differences(column: array[int], base: array[int]) -> array[int]:
    """Base minus column, which taken twice is the column again; 16 bits, so nothing is lost."""
    return array("H", [(b - a) & _CODE_MAX for a, b in zip(column, base, strict=False)])
