"""How many of the threads that answer requests may wait for engines at once.

The web process answers everybody with a few threads. Whoever asks an engine that hangs holds one until the
deadline, so a node has a share of them: who comes when it is used up waits while others are answered, for
the engine is only busy then, and is told to come again once nobody is for a moment. All nodes together
leave some threads to what needs no engine. Other threads (workers, watchers) are not counted.
"""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial

from compute.backends.types import NodeConfig
from compute.errors import BackendUnavailable

# The web process has 16 threads that answer.
_MOST_OF_NODE, _MOST_OF_ALL = 5, 12
_MOMENT_S, _MOMENTS = 0.5, 8
_WHY = {"reason": "busy", "retry_after": 2}

# The nodes that this thread waits for; None in one that answers nobody.
_held: ContextVar[set[str] | None] = ContextVar("held_turnstiles", default=None)


class _Turnstile:
    """``most`` at once. While nobody leaves it, only the first that finds it full waits for a moment."""

    def __init__(self, most: int) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._left = 0
        self._is_stuck = False

    def enter(self) -> bool:
        if self._is_stuck:
            return self._places.acquire(blocking=False)
        for _ in range(_MOMENTS):
            left = self._left
            if self._places.acquire(timeout=_MOMENT_S):
                return True
            if self._left == left:
                self._is_stuck = True
                break
        return False

    def leave(self) -> None:
        # Lost counts of two who leave at once do no harm: it only has to change.
        self._left += 1
        self._is_stuck = False
        self._places.release()


_of_node: dict[str, _Turnstile] = defaultdict(lambda: _Turnstile(_MOST_OF_NODE))
_of_all = _Turnstile(_MOST_OF_ALL)


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Within it this thread answers a request, and is counted where it waits for an engine."""
    token = _held.set(set())
    try:
        yield
    finally:
        _held.reset(token)


@contextlib.contextmanager
def engine_waited_for(node: NodeConfig) -> Iterator[None]:
    """Around whatever waits for the engine of ``node``. Raises ``BackendUnavailable`` when too many who
    answer wait for it already."""
    held = _held.get()
    if held is None or node.id in held:
        yield
        return
    with _place(_of_node[node.id], partial(_busy, node)), _place(_of_all, partial(_all_busy, node)):
        held.add(node.id)
        try:
            yield
        finally:
            held.discard(node.id)


@contextlib.contextmanager
def _place(turnstile: _Turnstile, refuse: Callable[[], BackendUnavailable]) -> Iterator[None]:
    if not turnstile.enter():
        raise refuse()
    try:
        yield
    finally:
        turnstile.leave()


def _busy(node: NodeConfig) -> BackendUnavailable:
    return BackendUnavailable(
        f"{node.name} was not asked: as many requests wait for it as may at once. Try again soon.",
        node=node.name,
        **_WHY,
    )


def _all_busy(node: NodeConfig) -> BackendUnavailable:
    return BackendUnavailable(
        f"{node.name} was not asked: as many requests wait for nodes as may at once. Try again soon.",
        node=node.name,
        **_WHY,
    )
