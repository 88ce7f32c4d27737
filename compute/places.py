"""Places for what lasts in one process: so many for all, and of those a share for each person."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from compute.errors import RateLimited


class Places:
    """``most`` for all, ``share`` of them for each. For one thread, or an event loop: it holds no lock."""

    def __init__(self, what: str, most: int, share: int) -> None:
        self._what, self._most, self._share = what, most, share
        self._taken: Counter[Any] = Counter()

    @contextlib.contextmanager
    def take(self, person: Any) -> Iterator[None]:
        """One of them until the block ends. Raises ``RateLimited``, with whose bound it is."""
        self._require(person)
        self._taken[person] += 1
        try:
            yield
        finally:
            self._taken[person] -= 1
            if not self._taken[person]:
                del self._taken[person]

    def _require(self, person: Any) -> None:
        if self._taken[person] >= self._share:
            raise RateLimited(
                f"You have {self._share} {self._what} under way here, which is the most for one person. "
                "Try again when one has ended.",
                retry_after=5,
                scope="person",
                limit=self._share,
            )
        if self._taken.total() >= self._most:
            raise RateLimited(
                f"{self._most} {self._what} are under way here, which is the most for all together. "
                "Try again soon.",
                retry_after=5,
                scope="all",
                limit=self._most,
            )
