"""How long each file of tests takes, and so which of them begin first.

What takes longest begins first, so that no file is alone at the end. Each run keeps in pytest's cache what
its files took; ``python -m tests.durations`` brings that of the last whole one into the repository.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from libgo_site.launch import state

_KEPT = Path(__file__).with_suffix(".json")
_CACHED = "libgo/durations"
# They break things and watch the clock until these are whole again: last, beside each other.
_FAULTS = "tests/faults/"
# One of them computes for minutes instead.
_COMPUTES = "tests/faults/test_failpoints.py"
_SECONDS: dict[str, float] = defaultdict(float)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(item.nodeid))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _SECONDS[_file(report.nodeid)] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Of several runs that are parts of one, each adds its files."""
    cache = getattr(session.config, "cache", None)
    if cache is not None and not hasattr(session.config, "workerinput"):
        # What failed is looked at again by itself: the file took what it took at first.
        kept = cache.get(_CACHED, {})
        longest = {name: max(seconds, kept.get(name, 0.0)) for name, seconds in _SECONDS.items()}
        cache.set(_CACHED, kept | longest)


def rank(nodeid: str) -> tuple[bool, float, str]:
    """Those that watch the clock last, then by time, a file's own in a row. A file that nobody has timed yet
    may be a long one."""
    name = _file(nodeid)
    watches = name.startswith(_FAULTS) and name != _COMPUTES
    return watches, -_known().get(name, math.inf), name


def durations_bring() -> int:
    """Put what the files of the last whole run took, in whole seconds, in the place of what was known; how
    many they are."""
    seen = json.loads((state.var() / "pytest" / "v" / _CACHED).read_text())
    rounded = {name: max(1, round(seconds)) for name, seconds in sorted(seen.items())}
    _KEPT.write_text(json.dumps(rounded, indent=1) + "\n")
    return len(rounded)


@cache
def _known() -> dict[str, float]:
    return dict(json.loads(_KEPT.read_text()))


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


if __name__ == "__main__":
    print(f"{durations_bring()} files")
