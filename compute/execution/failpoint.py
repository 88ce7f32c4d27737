"""Places where a test may stop or break an operation: every boundary between two of its steps.

Nothing of this is reachable unless the process was *started* with ``LIBGO_FAILPOINT``, the path of a
folder. ``rules.json`` in it is a list of ``{"action", "subject", "at", "do"}``: an operation of this action
on this subject that comes to its boundary number ``at`` (from 0, or the boundary's name) is held there
(``hold``, until the rule is gone; a test then kills the process, or cancels) or fails (``fail``).
``passed.jsonl`` tells every boundary that was met:
``{"operation", "subject", "number", "boundary", "does"}``.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import structlog

from compute.errors import ComputeError
from compute.models import Operation

log = structlog.get_logger(__name__)

_given = os.environ.get("LIBGO_FAILPOINT")
_FOLDER = Path(_given) if _given else None
_LOOK_EVERY_S = 0.05

_met: Counter[str] = Counter()
_lock = threading.Lock()

if _FOLDER is not None:
    log.warning("failpoints_are_on", folder=str(_FOLDER))


class FailpointHit(ComputeError):
    """A test asked for this failure."""


def boundary(operation: Operation, name: str) -> None:
    """Between two steps of ``operation``; ``name`` says which comes next. Raises :class:`FailpointHit`."""
    if _FOLDER is None:
        return
    with _lock:
        number = _met[str(operation.pk)]
        _met[str(operation.pk)] += 1
    does = _asked(_FOLDER, operation, number, name)
    line: dict[str, Any] = {"operation": str(operation.pk), "subject": operation.subject}
    line |= {"number": number, "boundary": name, "does": does}
    with (_FOLDER / "passed.jsonl").open("a") as told:
        told.write(json.dumps(line) + "\n")
    while does == "hold":
        time.sleep(_LOOK_EVERY_S)
        does = _asked(_FOLDER, operation, number, name)
    if does == "fail":
        raise FailpointHit(f"A test let it fail before: {name}.")


def _asked(folder: Path, operation: Operation, number: int, name: str) -> str:
    wanted = {"action": operation.action, "subject": operation.subject}
    for rule in _rules(folder):
        if rule["at"] in (number, name) and all(rule[key] == value for key, value in wanted.items()):
            return str(rule["do"])
    return ""


def _rules(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads((folder / "rules.json").read_text()))
    except FileNotFoundError:
        return []
