"""Options of drivers, as they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.errors import InvalidInput

_OPTIONS_MAX = 64


def text_options(field: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Options of a driver: short texts by key. Raises ``InvalidInput``."""
    if not isinstance(given, Mapping) or len(given) > _OPTIONS_MAX:
        raise InvalidInput.field(field, f"must be an object of at most {_OPTIONS_MAX} texts.")
    for key, value in given.items():
        if not isinstance(key, str) or not 0 < len(key) <= 256 or not key.isprintable():
            raise InvalidInput.field(field, "keys must be printable text of 1 to 256 characters.")
        if not isinstance(value, str) or len(value) > 4096 or "\x00" in value:
            raise InvalidInput.field(f"{field}.{key}", "must be text of at most 4096 characters.")
    return dict(given)
