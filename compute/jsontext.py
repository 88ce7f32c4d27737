"""JSON, quickly."""

from __future__ import annotations

from typing import Any

import orjson


def dumps(data: Any) -> bytes:
    """The JSON of every answer."""
    return orjson.dumps(data, default=str, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)
