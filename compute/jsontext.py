"""JSON, quickly, and what it can write that is no text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

# How the null character is written, and half of a character beyond the first 65,536.
_ODD = re.compile(rb"\\u(0000|[dD][89a-fA-F])")


def dumps(data: Any) -> bytes:
    """The JSON of every answer."""
    return orjson.dumps(data, default=str, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def text_problem(raw: bytes, data: Any) -> str:
    """What ``data``, read from ``raw``, holds that no database and no answer can; empty when nothing."""
    if not _ODD.search(raw):
        return ""
    for text in _texts(data):
        if "\0" in text:
            return "a null character"
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            return "half of a character (a lone surrogate)"
    return ""


def _texts(data: Any) -> Iterator[str]:
    waiting = [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
