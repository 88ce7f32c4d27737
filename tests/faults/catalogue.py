"""The register of faults: what each test breaks, what a user sees, how long it took, what was kept.

A test says ``@fault("F01", "the engine is killed", sees="…", keeps="…")`` and measures with the fixture
``measured``. The table is printed at the end of every run that had such tests, and written to the file
that LIBGO_FAULTS_TABLE names: ``LIBGO_FAULTS_TABLE=docs/faults.md ./libgo test -m fault``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

_COLUMNS = ("fault", "what is done", "what a user sees", "measured", "nothing lost", "result")
_HEAD = """# What LibGo survives

Written by `LIBGO_FAULTS_TABLE=docs/faults.md ./libgo test -m fault`; do not edit it by hand.
Every row is a test that breaks something real: daemons and processes which the test itself started.
After those on an engine of the tests' own the mirror equals the engine, every operation has ended, and
the audit's chain holds. “(part)”: not all that the list of faults asks. Seconds are of one run.

"""


def fault(ids: str, done: str, *, sees: str, keeps: str) -> pytest.MarkDecorator:
    """``ids`` of the list of faults, one or several: ``F26 F27``."""
    return pytest.mark.fault(ids=ids, done=done, sees=sees, keeps=keeps)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(ids, done, sees, keeps): a row of the table of faults")


def properties_of(item: pytest.Item) -> list[tuple[str, Any]]:
    """What the row will be, in a form that reports carry between processes."""
    mark = item.get_closest_marker("fault")
    return [("fault", dict(mark.kwargs))] if mark else []


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = _rows(terminalreporter)
    if not rows:
        return
    terminalreporter.section("faults")
    for row in rows:
        terminalreporter.write_line(" | ".join(row))
    target = os.environ.get("LIBGO_FAULTS_TABLE")
    if target:
        Path(target).write_text(table_text(rows))
        terminalreporter.write_line(f"written to {target}")


def table_text(rows: list[tuple[str, ...]]) -> str:
    """The whole file."""
    lines = [_line(_COLUMNS), "|" + "---|" * len(_COLUMNS), *map(_line, rows)]
    return _HEAD + "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _rows(reporter: Any) -> list[tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for result in ("passed", "failed"):
        for report in reporter.stats.get(result, []):
            told = dict(report.user_properties)
            if getattr(report, "when", "") != "call" or "fault" not in told:
                continue
            mark = told["fault"]
            times = ", ".join(f"{name} {value} s" for name, value in told.get("measured", {}).items())
            case = report.nodeid.partition("[")[2].rstrip("]")
            done = f"{mark['done']} ({case})" if case else mark["done"]
            row = (mark["ids"], done, mark["sees"], times or f"{report.duration:.1f} s in all", mark["keeps"])
            found[(mark["ids"], report.nodeid)] = (*row, result)
    return [found[key] for key in sorted(found)]
