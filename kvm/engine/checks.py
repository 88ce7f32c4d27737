"""Checks of single values in the ``config`` of a VM; each names the field it refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from compute.backends.checks import Check
from compute.errors import InvalidInput

TEXT_MAX = 64 * 1024
LIST_MAX = 64
DESCRIPTION_MAX = 4096
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
WORD = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+:-]{0,63}")


def mapping(known: Mapping[str, Check]) -> Check:
    """An object with these keys; null is as good as absent."""

    def check(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidInput.field(name, "must be an object.")
        for key in value:
            if key not in known:
                raise InvalidInput.field(f"{name}.{key}", f"is not one of {', '.join(sorted(known))}.")
        return {key: known[key](f"{name}.{key}", item) for key, item in value.items() if item is not None}

    return check


def listing(item: Check) -> Check:
    """A list of at most ``LIST_MAX`` items."""

    def check(name: str, value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)) or len(value) > LIST_MAX:
            raise InvalidInput.field(name, f"must be a list of at most {LIST_MAX}.")
        return [item(name, one) for one in value]

    return check


def one_of(*words: str) -> Check:
    """One of these words."""

    def check(name: str, value: Any) -> str:
        if value not in words:
            raise InvalidInput.field(name, f"must be one of {', '.join(words)}.")
        return str(value)

    return check


def matching(pattern: re.Pattern[str], what: str) -> Check:
    """A text that matches as a whole; ``what`` describes it."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise InvalidInput.field(name, f"must be {what}.")
        return value

    return check


def text(name: str, value: Any) -> str:
    """Text of a bounded length."""
    if not isinstance(value, str) or len(value) > TEXT_MAX or "\x00" in value:
        raise InvalidInput.field(name, f"must be text of at most {TEXT_MAX} characters.")
    return value


def description(name: str, value: Any) -> str:
    """What people write about a machine: lines of text that XML can hold."""
    if not isinstance(value, str) or len(value) > DESCRIPTION_MAX:
        raise InvalidInput.field(name, f"must be text of at most {DESCRIPTION_MAX} characters.")
    if any(not (char.isprintable() or char in "\n\t") for char in value):
        raise InvalidInput.field(name, "must hold no control characters.")
    return value


def flag(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidInput.field(name, "must be true or false.")
    return value


def whole(low: int, high: int) -> Check:
    """A whole number within these bounds."""

    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidInput.field(name, f"must be a whole number from {low} to {high}.")
        return value

    return check
