"""Stop and break operations of a live console at a chosen boundary: see compute/execution/failpoint.py."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What is to happen to the operation ``action`` on ``subject`` at its boundary ``at``."""

    action: str
    subject: str
    at: str
    do: str = "hold"


class Failpoints:
    """The folder that the console's processes were started with."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._rules, self._passed = folder / "rules.json", folder / "passed.jsonl"
        self.environ = {"LIBGO_FAILPOINT": str(folder)}
        self.set()

    def set(self, *rules: Rule) -> None:
        """From now on these and no others: whoever is held by another goes on."""
        new = self._rules.with_suffix(".new")
        new.write_text(json.dumps([asdict(rule) for rule in rules]))
        new.replace(self._rules)

    def passed(self, operation: str) -> list[str]:
        """The boundaries that it met, in their order."""
        return [row["boundary"] for row in self._rows() if row["operation"] == operation]

    def operations(self) -> dict[str, str]:
        """By subject, the newest operation that met a boundary."""
        return {row["subject"]: row["operation"] for row in self._rows()}

    def struck(self) -> dict[str, str]:
        """The subjects of operations that a rule met, each with its operation."""
        return {row["subject"]: row["operation"] for row in self._rows() if row["does"]}

    def _rows(self) -> list[dict[str, Any]]:
        if not self._passed.exists():
            return []
        lines = self._passed.read_text().split("\n")
        # The last one may be half written.
        return [json.loads(line) for line in lines[:-1]]
