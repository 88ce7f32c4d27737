"""The register of attacks: what is tried, what stops it, what the audit says of it.

A test anywhere below ``tests/`` says ``@attack("S12", "what is tried", refused="…", audit="…")``.
``LIBGO_ATTACKS_TABLE=docs/attacks.md ./libgo test -m attack`` writes the table.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.cases import CASES, GAPS, PARTS
from tests.register import Register

_HEAD = """# What LibGo refuses

Written by `LIBGO_ATTACKS_TABLE=docs/attacks.md ./libgo test -m attack`; do not edit it by hand.
Every row is a test that performs the attack, against LibGo's own code or a whole console over real engines,
and looks at what it did not reach. “-” under audit: nothing to tell (a question, a parser, a page) or not
looked at by this test. What was not tried, wholly or in part, stands below the table. The walls and the
promises are in [threat_model.md](threat_model.md).

"""


def attack(ids: str, tried: str, *, refused: str, audit: str = "-") -> pytest.MarkDecorator:
    """``ids`` of ``CASES``, one or several: ``S37 S38``."""
    return pytest.mark.attack(ids=ids, tried=tried, refused=refused, audit=audit)


def _cells(mark: dict[str, Any], report: pytest.TestReport) -> tuple[str, ...]:
    path, _, name = report.nodeid.partition("[")[0].rpartition("::")
    where = f"`{path.removeprefix('tests/')}` {name.removeprefix('test_').replace('_', ' ')}"
    return (mark["ids"], mark["tried"], mark["refused"], mark["audit"], where)


def _foot() -> str:
    parts = [f"- {key} ({CASES[key]}): {reason}" for key, reason in sorted(PARTS.items())]
    gaps = [f"- {key} ({CASES[key]}): {reason}" for key, reason in sorted(GAPS.items())]
    return "\n".join(["\n## Tried in part\n", *parts, "\n## Not tried\n", *(gaps or ["- nothing"])]) + "\n"


ATTACKS = Register(
    mark="attack",
    variable="LIBGO_ATTACKS_TABLE",
    columns=("attack", "what is tried", "what happens", "what the audit says", "test", "result"),
    head=_HEAD,
    cells=_cells,
    by_case=False,
    foot=_foot(),
)
