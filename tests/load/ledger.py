"""What LibGo told everybody in the storm: kept to be compared with what is true at its end."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import requests

# What an honest client may be told while others do the same and engines are away.
_HONEST = {
    "INSTANCE_BUSY",
    "INVALID_STATE",
    "NAME_CONFLICT",
    "INSTANCE_NOT_FOUND",
    "CONTAINER_NOT_FOUND",
    "VOLUME_NOT_FOUND",
    "SNAPSHOT_NOT_FOUND",
    "NOT_FOUND",
    "VOLUME_IN_USE",
    "RATE_LIMITED",
    "BACKEND_UNAVAILABLE",
    "BACKEND_TIMEOUT",
    "BACKEND_ERROR",
    "DATABASE_UNAVAILABLE",
    "OPERATION_INTERRUPTED",
    "OPERATION_CANCELLED",
}
_ENDED_BADLY = {"failed", "cancelled", "interrupted"}
ENDS = {"succeeded", *_ENDED_BADLY}


@dataclass(frozen=True)
class Answer:
    """One request as it ended; ``status`` 0: the connection broke."""

    who: str
    action: str
    status: int
    code: str
    took_s: float


class Ledger:
    """Written to by all threads of the storm."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answers: list[Answer] = []
        # Operation to the states that it was said to have come to; empty: it was only said to be taken.
        self.told: dict[str, set[str]] = defaultdict(set)
        self.strange: list[str] = []
        self.facts = 0

    def answered(self, who: str, action: str, answer: requests.Response | None, began: float) -> None:
        """Of the API: an answer in its own shape, or a connection that broke."""
        took_s = time.monotonic() - began
        body = {} if answer is None else _body(answer)
        code = str((body.get("error") or {}).get("code", ""))
        with self._lock:
            status = 0 if answer is None else answer.status_code
            self.answers.append(Answer(who, action, status, code, took_s))
            if answer is None:
                return
            if not answer.ok and code not in _HONEST:
                self.strange.append(f"{who} {action}: {status} {answer.text[:300]}")
            self._operation(answer, body)

    def page(self, who: str, what: str, status: int, took_s: float, text: str) -> None:
        """Of a browser. Pages of what is gone are 404, of what is busy 409; no page breaks."""
        with self._lock:
            self.answers.append(Answer(who, what, status, "", took_s))
            if status not in (0, 200, 204, 304, 400, 403, 404, 409, 422, 429, 502, 503, 504) or (
                status in (400, 403, 422) and "Traceback" in text
            ):
                self.strange.append(f"{who} {what}: {status} {text[:300]}")

    def fact(self, message: dict[str, Any]) -> None:
        """Of a socket."""
        state = str(message["type"]).removeprefix("operation.")
        with self._lock:
            self.facts += 1
            operation = message["data"].get("operation")
            if operation and state in ENDS:
                self.told[operation].add(state)

    def wonder(self, what: str) -> None:
        with self._lock:
            self.strange.append(what)

    def counts(self) -> Counter[tuple[int, str]]:
        return Counter((each.status, each.code) for each in self.answers)

    def _operation(self, answer: requests.Response, body: dict[str, Any]) -> None:
        link = answer.headers.get("Location", "")
        if "/operations/" not in link:
            return
        operation = link.rpartition("/")[2]
        states = self.told[operation]
        if answer.status_code >= 400:
            states.add("ended badly")
        elif (said := body.get("operation", {}).get("state")) in ENDS:
            states.add(said)


def contradictions(told: dict[str, set[str]], states: dict[str, str]) -> list[str]:
    """Operations that did not come to what somebody was told; ``states``: what the database says."""
    found = []
    for operation, words in told.items():
        true = states.get(operation)
        if true is None:
            found.append(f"{operation}: told of, and not there")
        for word in words:
            if word != true and not (word == "ended badly" and true in _ENDED_BADLY):
                found.append(f"{operation}: told {word}, is {true}")
    return found


def _body(answer: requests.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
