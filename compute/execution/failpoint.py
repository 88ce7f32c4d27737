"""Places where a test may stop or break an operation: every boundary between two of its steps.

Nothing of this is reachable unless the process was *started* with ``LIBGO_FAILPOINT``, the path of a
folder. ``rules.json`` in it is a list of ``{"action", "subject", "at", "do"}``: an operation of this action
on this subject that comes to the boundary ``at`` is held there (``hold``, until the rule is gone; a test
then kills the process, or cancels), fails (``fail``), or meets what no code expects (``_BREAKS``). A name
that comes again has its number behind it: ``make volume``, ``make volume 2``. ``passed.jsonl`` tells every
boundary that was met: ``{"operation", "subject", "boundary", "does"}``.
"""

from __future__ import annotations

import errno
import json
import os
import sys
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

_met: Counter[tuple[Any, str]] = Counter()
_lock = threading.Lock()

if _FOLDER is not None:
    log.warning("failpoints_are_on", folder=str(_FOLDER))


class FailpointHit(ComputeError):
    """A test asked for this failure."""


def _memory() -> None:
    bytearray(2**62)


def _depth() -> None:
    _depth()


def _disk() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")


def _files() -> None:
    """As ``open`` does it; a process that really has no file left breaks for all its work at once."""
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/a/file")


_BREAKS = {"memory": _memory, "depth": _depth, "disk": _disk, "files": _files, "exit": sys.exit}


def boundary(operation: Operation, name: str) -> None:
    """Between two steps of ``operation``; ``name`` says which comes next. Raises :class:`FailpointHit`."""
    if _FOLDER is None:
        return
    with _lock:
        _met[operation.pk, name] += 1
        times = _met[operation.pk, name]
    name = name if times == 1 else f"{name} {times}"
    does = _asked(_FOLDER, operation, name)
    line = {"operation": str(operation.pk), "subject": operation.subject, "boundary": name, "does": does}
    with (_FOLDER / "passed.jsonl").open("a") as told:
        told.write(json.dumps(line) + "\n")
    while does == "hold":
        time.sleep(_LOOK_EVERY_S)
        does = _asked(_FOLDER, operation, name)
    if does == "fail":
        raise FailpointHit(f"A test let it fail before: {name}.")
    if does in _BREAKS:
        _BREAKS[does]()


def _asked(folder: Path, operation: Operation, name: str) -> str:
    wanted = {"action": operation.action, "subject": operation.subject, "at": name}
    found = [rule for rule in _rules(folder) if all(rule[key] == value for key, value in wanted.items())]
    return str(found[0]["do"]) if found else ""


def _rules(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads((folder / "rules.json").read_text()))
    except FileNotFoundError:
        return []
