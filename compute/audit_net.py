"""What no service tells by itself: refusals, and changes that were about to go untold.

Refusals are bounded for each person and address: who is refused a thousand times a minute gets one row
that says how many were left out.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import DatabaseError

from compute.actor import Actor
from compute.audit import audit

log = structlog.get_logger(__name__)

REFUSALS, WINDOW_S = 20, 60.0
_KNOWN_MAX = 10_000
_CHANGING = frozenset(["POST", "PUT", "PATCH", "DELETE"])
# ``<str:node_id>`` is shown as ``<node_id>``.
_KIND = re.compile(r"(?<=<)\w+:")
_REFUSED, _BROKE = 403, 500


@dataclass
class _Window:
    began: float
    count: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class Asked:
    """One request as it ended. ``route`` is its pattern, which names no ids; ``code`` of its error."""

    method: str
    route: str
    path: str
    status: int
    code: str = ""
    details: Mapping[str, Any] | None = None


_windows: dict[tuple[Any, str], _Window] = {}
_lock = threading.Lock()


def request_audit(actor: Actor, asked: Asked, *, is_told: bool) -> None:
    """A row for a refusal, and for a change of which no service told."""
    try:
        _audit(actor, asked, is_told=is_told)
    except DatabaseError as error:
        if asked.status < _BROKE:
            raise
        # What could not be done for want of a database cannot be written into it either.
        log.warning("refusal_not_audited", path=asked.path, reason=str(error))


def _audit(actor: Actor, asked: Asked, *, is_told: bool) -> None:
    action = f"{asked.method} {_KIND.sub('', asked.route)}"
    if asked.status == _REFUSED:
        named = str((asked.details or {}).get("action") or "")
        refusal_audit(actor, named or action, asked.path, asked.code, {"route": action})
    elif asked.method in _CHANGING and not is_told:
        if asked.status < 400:
            audit(actor, action, asked.path, details={"route": action})
        elif asked.status >= _BROKE:
            refusal_audit(actor, action, asked.path, asked.code or "INTERNAL", {"route": action})


def refusal_audit(
    actor: Actor, action: str, target: str, code: str, details: Mapping[str, Any] | None = None
) -> None:
    """A row for something that was not done, unless this person has had ``REFUSALS`` of them within
    ``WINDOW_S``; the first one after that says how many were left out."""
    left_out = _left_out((actor.user_id, actor.remote_address))
    if left_out is None:
        return
    more = {"left_out": left_out} if left_out else {}
    audit(actor, action, target, result=code or "PERMISSION_DENIED", details={**(details or {}), **more})


def refusals_forget() -> None:
    """For tests."""
    with _lock:
        _windows.clear()


def _left_out(key: tuple[Any, str]) -> int | None:
    """How many were left out before this one; None: leave this one out too."""
    now = time.monotonic()
    with _lock:
        window = _windows.get(key)
        if window is None or now - window.began >= WINDOW_S:
            before = window.left_out if window else 0
            if len(_windows) >= _KNOWN_MAX:
                _windows.clear()
            _windows[key] = _Window(now, 1)
            return before
        if window.count >= REFUSALS:
            window.left_out += 1
            return None
        window.count += 1
        return 0
