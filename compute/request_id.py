"""The word that ties a request, its answer, its log lines and its audit rows together."""

from __future__ import annotations

import re
import uuid

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id_for(given: str) -> str:
    """The caller's own word if it is harmless, else a new one."""
    return given if _SAFE.fullmatch(given) else uuid.uuid4().hex
