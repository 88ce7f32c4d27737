"""One range of what is downloaded (RFC 9110, 14)."""

from __future__ import annotations

import re

from compute.api.transfers import Told

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def range_told(told: Told, size: int, wish: str) -> tuple[int, int]:
    """Fill in what the answer says; where to begin and how much to send. One range is honoured, and a
    wish that cannot be is answered with the whole."""
    told.headers["Accept-Ranges"] = "bytes"
    start, count = 0, size
    if (found := _RANGE.fullmatch(wish)) and (found[1] or found[2]):
        first = int(found[1]) if found[1] else max(0, size - int(found[2]))
        last = min(int(found[2]) if found[1] and found[2] else size - 1, size - 1)
        if first <= last:
            start, count = first, last - first + 1
            told.status = 206
            told.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    told.length = count
    return start, count
