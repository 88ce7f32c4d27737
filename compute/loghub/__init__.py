"""One stream from the engine per log, however many look at it; each viewer with a queue that ends.

A *source* reads the log of one instance, keeps the last lines and hands them to its *viewers*. Who
joins first gets the lines before, without a gap and without seeing one twice, and then what comes.
"""

from __future__ import annotations

from compute.loghub.hub import Wanted, follow, sources_open
from compute.loghub.pieces import Batch, Mark, Piece, Shown

__all__ = ["Batch", "Mark", "Piece", "Shown", "Wanted", "follow", "sources_open"]
