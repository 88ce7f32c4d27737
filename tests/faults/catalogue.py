"""The register of faults: what each test breaks, what a user sees, how long it took, what was kept.

A test says ``@fault("F01", "the engine is killed", sees="…", keeps="…")`` and measures with the fixture
``measured``. ``LIBGO_FAULTS_TABLE=docs/faults.md ./libgo test -m fault`` writes the table.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.register import Register

_HEAD = """# What LibGo survives

Written by `LIBGO_FAULTS_TABLE=docs/faults.md ./libgo test -m fault`; do not edit it by hand.
Every row is a test that breaks something real: daemons and processes which the test itself started.
After those on an engine of the tests' own the mirror equals the engine, every operation has ended, and
the audit's chain holds. “(part)”: not all that the list of faults asks. Seconds are of one run.

"""


def fault(ids: str, done: str, *, sees: str, keeps: str) -> pytest.MarkDecorator:
    """``ids`` of the list of faults, one or several: ``F26 F27``."""
    return pytest.mark.fault(ids=ids, done=done, sees=sees, keeps=keeps)


def _cells(mark: dict[str, Any], report: pytest.TestReport) -> tuple[str, ...]:
    told = dict(report.user_properties)
    measured: dict[str, float] = told.get("measured", {})  # type: ignore[assignment]
    times = ", ".join(f"{name} {value} s" for name, value in measured.items())
    case = report.nodeid.partition("[")[2].rstrip("]")
    done = f"{mark['done']} ({case})" if case else mark["done"]
    return (mark["ids"], done, mark["sees"], times or f"{report.duration:.1f} s in all", mark["keeps"])


FAULTS = Register(
    mark="fault",
    variable="LIBGO_FAULTS_TABLE",
    columns=("fault", "what is done", "what a user sees", "measured", "nothing lost", "result"),
    head=_HEAD,
    cells=_cells,
    by_case=True,
)
