"""Tables that tests write about themselves: one row for what a test tried, what was seen and how it ended.

A test carries the mark of a register; ``tests/conftest.py`` hands the rows through pytest's reports, which
also travel between the processes of a parallel run. Each table is printed at the end of a run that had
such tests, and written to the file that the register's variable names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The mark's words and the report, as the cells before the result.
Cells = Callable[[dict[str, Any], pytest.TestReport], tuple[str, ...]]


@dataclass(frozen=True)
class Register:
    """``by_case``: the cases of a parametrised test have rows of their own; else they share one."""

    mark: str
    variable: str
    columns: tuple[str, ...]
    head: str
    cells: Cells
    by_case: bool
    foot: str = ""

    def text(self, rows: Sequence[tuple[str, ...]]) -> str:
        """The whole file."""
        lines = [_line(self.columns), "|" + "---|" * len(self.columns), *map(_line, rows)]
        return self.head + "\n".join(lines) + "\n" + self.foot

    def rows(self, stats: dict[str, list[Any]]) -> list[tuple[str, ...]]:
        """Sorted by the ids of the list; whoever fails in one case has failed."""
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for result in ("passed", "failed"):
            for report in stats.get(result, []):
                if getattr(report, "when", "") != "call":
                    continue
                for row in self._rows_of(report):
                    key = report.nodeid if self.by_case else report.nodeid.partition("[")[0]
                    found[(row[0], key)] = (*row, result)
        return [found[key] for key in sorted(found)]

    def _rows_of(self, report: pytest.TestReport) -> list[tuple[str, ...]]:
        properties: list[tuple[str, Any]] = report.user_properties
        return [self.cells(words, report) for name, words in properties if name == self.mark]

    def show(self, reporter: Any) -> None:
        rows = self.rows(reporter.stats)
        if not rows:
            return
        reporter.section(f"{self.mark}s")
        for row in rows:
            reporter.write_line(" | ".join(row))
        target = os.environ.get(self.variable)
        if target:
            Path(target).write_text(self.text(rows))
            reporter.write_line(f"written to {target}")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
