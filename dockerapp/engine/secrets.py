"""Options of drivers and labels may hold passwords; they are hidden before anything keeps them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "********"
_SECRET = r"pass(?:word|wd|phrase)?|secret|token|api_?key|private_?key|credentials?"  # nosec B105 # the pattern of names
_KEY = re.compile(_SECRET, re.IGNORECASE)
# As in the mount options of a share: ``addr=10.0.0.7,username=x,password=y``.
_WITHIN = re.compile(rf"(?P<key>\b\w*(?:{_SECRET})\w*=)[^,\s]*", re.IGNORECASE)
_LABEL = "libgo."


def secrets_masked(values: Mapping[str, Any]) -> dict[str, str]:
    """The same keys as text; secret values, and secret parts of values, replaced."""
    shown = {}
    for key, value in values.items():
        text = str(value)
        if not str(key).startswith(_LABEL):
            text = MASK if text and _KEY.search(str(key)) else _WITHIN.sub(rf"\g<key>{MASK}", text)
        shown[str(key)] = text
    return shown
