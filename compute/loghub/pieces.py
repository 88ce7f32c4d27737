"""What a viewer of a log gets: lines, many at once, and marks that stand where lines do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import orjson
from django.utils import timezone

from compute.backends.types import LogLine, nanos_text
from compute.selectors.page import time_text

T = TypeVar("T")
_OUT_OF_ORDER_NANOS = 1_000_000_000


class Shown(NamedTuple):
    """Which lines of a batch a viewer wants, and whether with their times."""

    stdout: bool = True
    stderr: bool = True
    timestamps: bool = False

    def has(self, line: LogLine) -> bool:
        return self.stderr if line.stream == "stderr" else self.stdout


class Mark(NamedTuple):
    """``kind``: skipped (so many lines, 0 when nobody counted them), stopped, started, lost (the
    engine), gone."""

    kind: str
    text: str
    lines: int = 0

    def envelope(self, shown: Shown) -> str:
        data = {"kind": self.kind, "text": self.text, "lines": self.lines}
        return _envelope("mark", data)

    def plain(self, shown: Shown) -> str:
        """A line of its own where lines are missing; the rest is for people who look on."""
        return f"{self.text}\n" if self.kind in ("skipped", "lost") else ""

    def rows(self, shown: Shown) -> str:
        """A row of its own among rows of JSON."""
        row = {"mark": self.kind, "text": self.text, "lines": self.lines}
        return orjson.dumps(row).decode() + "\n"


class Batch:
    """Lines in the order of the log. What is made of them for one viewer serves all like it."""

    __slots__ = ("_made", "chars", "lines")

    def __init__(self, lines: Sequence[LogLine]) -> None:
        self.lines = lines
        self.chars = sum(len(line.text) for line in lines)
        self._made: dict[tuple[str, Shown], str] = {}

    def envelope(self, shown: Shown) -> str:
        """For a socket; empty when none of the lines is wanted."""
        return self._once("envelope", shown, _lines_envelope)

    def plain(self, shown: Shown) -> str:
        """As plain text, each line with its end."""
        return self._once("plain", shown, _lines_plain)

    def rows(self, shown: Shown) -> str:
        """One JSON object a line."""
        return self._once("rows", shown, _lines_rows)

    def _once(self, name: str, shown: Shown, make: Callable[[list[LogLine], bool], str]) -> str:
        known = self._made.get((name, shown))
        if known is None:
            wanted = [line for line in self.lines if shown.has(line)]
            known = self._made[(name, shown)] = make(wanted, shown.timestamps) if wanted else ""
        return known


Piece: TypeAlias = Batch | Mark


class Seen:
    """The last lines someone has got already, to leave out of a second reading what was in the first.

    Times alone do not tell: lines may share one, and those of stdout and stderr may stand a little
    out of order.
    """

    def __init__(self, lines: Iterable[LogLine]) -> None:
        known = [line for line in lines if line.nanos is not None]
        times = [line.nanos for line in known if line.nanos is not None]
        self._left = Counter(known)
        self.first, self.last = (min(times), max(times)) if times else (0, 0)
        # Whether the second reading began inside the first: else lines between them are missing.
        self.met = not times
        self.over = not times

    def fresh(self, lines: Sequence[LogLine]) -> Sequence[LogLine]:
        """Those that were not in the first reading."""
        if self.over:
            return lines
        found = [line for line in lines if self._is_fresh(line)]
        self.over = any((line.nanos or 0) > self.last + _OUT_OF_ORDER_NANOS for line in found)
        return found

    def _is_fresh(self, line: LogLine) -> bool:
        if line.nanos is None:
            return True
        if line.nanos < self.first:
            self.met = True
            return False
        if self._left[line] > 0:
            self._left[line] -= 1
            self.met = True
            return False
        return True


def line_dict(line: LogLine, timestamps: bool) -> dict[str, Any]:
    """The public shape of a line."""
    if not timestamps:
        return {"text": line.text, "stream": line.stream}
    at = None if line.nanos is None else nanos_text(line.nanos)
    return {"text": line.text, "stream": line.stream, "timestamp": at}


def _lines_envelope(lines: list[LogLine], timestamps: bool) -> str:
    return _envelope("logs", {"lines": [line_dict(line, timestamps) for line in lines]})


def _lines_plain(lines: list[LogLine], timestamps: bool) -> str:
    if timestamps:
        texts = (
            line.text if line.nanos is None else f"{nanos_text(line.nanos)} {line.text}" for line in lines
        )
    else:
        texts = (line.text for line in lines)
    return "\n".join(texts) + "\n"


def _lines_rows(lines: list[LogLine], timestamps: bool) -> str:
    return "".join(orjson.dumps(line_dict(line, timestamps)).decode() + "\n" for line in lines)


def _envelope(kind: str, data: dict[str, Any]) -> str:
    return orjson.dumps({"type": kind, "timestamp": time_text(timezone.now()), "data": data}).decode()
