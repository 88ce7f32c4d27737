"""How much a run tries of what has very many combinations.

Every run meets each kind; of its many places a cut, which is another with each turn, so that the runs of
some days meet them all. ``./libgo test --thorough`` tries all of them at once. ``LIBGO_TEST_THOROUGH`` and
``LIBGO_TEST_TURN`` are read here and nowhere else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TypeVar

_THOROUGH, _TURN = "LIBGO_TEST_THOROUGH", "LIBGO_TEST_TURN"
_DAY_S = 86_400
T = TypeVar("T")


def is_thorough() -> bool:
    return os.environ.get(_THOROUGH, "0") not in ("", "0")


def turn() -> int:
    """One more with each day, unless a turn is asked for."""
    return int(os.environ.get(_TURN) or time.time() // _DAY_S)


def turn_keep() -> None:
    """The processes of this run, and the part of it after midnight, take the same turn."""
    os.environ[_TURN] = str(turn())


def cut(found: Sequence[T], one_of: int, skip: int = 0) -> list[T]:
    """Every ``one_of``-th of them, at least one; as many turns one after the other meet all. Rows that are
    cut side by side give their number as ``skip``, and begin at different places."""
    if is_thorough() or not found:
        return list(found)
    return list(found[(turn() + skip) % min(one_of, len(found)) :: one_of])


def told() -> str:
    """For the end of a run: what it was."""
    if is_thorough():
        return "thorough: every combination was tried"
    return (
        f"a cut of what has very many combinations (turn {turn()}; LIBGO_TEST_TURN={turn()} takes the same "
        "again); all of them: ./libgo test --thorough"
    )
