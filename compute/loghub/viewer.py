"""One who looks at a log: a queue that has an end."""

from __future__ import annotations

import asyncio
from collections import deque

from compute.errors import ComputeError
from compute.loghub.pieces import Batch, Mark, Piece, Seen

LINES_MAX = 5000
CHARS_MAX = 2 * 1024 * 1024


class Viewer:
    """Gets pieces in order. One that does not take them in time loses the oldest and is told how many."""

    def __init__(self, *, goes_on: bool, seen: Seen | None = None) -> None:
        self.goes_on = goes_on
        self._seen = seen
        self._pieces: deque[Piece] = deque()
        self._lines = self._chars = self._skipped = 0
        self._wake = asyncio.Event()
        self._over = False
        self._error: ComputeError | None = None

    def put(self, piece: Piece) -> None:
        if isinstance(piece, Batch):
            if self._seen is not None:
                piece = self._without_seen(piece, self._seen)
            self._lines += len(piece.lines)
            self._chars += piece.chars
        self._pieces.append(piece)
        while (self._lines > LINES_MAX or self._chars > CHARS_MAX) and len(self._pieces) > 1:
            self._skipped += self._taken()
        self._wake.set()

    def end(self, error: ComputeError | None = None) -> None:
        """What is queued is still given out."""
        self._over, self._error = True, error
        self._wake.set()

    async def get(self) -> Piece | None:
        """The next piece; None at the end. Raises the ``ComputeError`` that ended it."""
        while not self._pieces and not self._skipped:
            if self._over:
                if self._error is not None:
                    raise self._error
                return None
            self._wake.clear()
            await self._wake.wait()
        if self._skipped:
            count, self._skipped = self._skipped, 0
            text = f"… {count:,} lines skipped: they come faster than they are read …"
            return Mark("skipped", text, count)
        piece = self._pieces[0]
        self._taken()
        return piece

    def _taken(self) -> int:
        """Take the first piece off; how many lines it had."""
        piece = self._pieces.popleft()
        if not isinstance(piece, Batch):
            return 0
        self._lines -= len(piece.lines)
        self._chars -= piece.chars
        return len(piece.lines)

    def _without_seen(self, batch: Batch, seen: Seen) -> Batch:
        lines = seen.fresh(batch.lines)
        if seen.over:
            self._seen = None
        return batch if len(lines) == len(batch.lines) else Batch(lines)
