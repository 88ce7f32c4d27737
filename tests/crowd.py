"""Many who ask for the same at the same time, and what came of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import requests

from tests.people import Caller


@dataclass(frozen=True)
class Crowd:
    """The answers of all, in the order in which they were asked for."""

    answers: list[requests.Response]

    @property
    def accepted(self) -> list[dict[str, Any]]:
        return [dict(answer.json()) for answer in self.answers if answer.status_code in (201, 202)]

    @property
    def refusals(self) -> list[dict[str, Any]]:
        found = [answer for answer in self.answers if answer.status_code not in (201, 202)]
        return [dict(answer.json()["error"]) for answer in found]

    @property
    def counts(self) -> Counter[tuple[int, str]]:
        """How many were answered with which status and code."""
        return Counter(
            (answer.status_code, "" if answer.ok else str(answer.json()["error"]["code"]))
            for answer in self.answers
        )


def crowd(size: int, ask: Callable[[int], requests.Response]) -> Crowd:
    """``ask(number)`` by so many at once: all stand ready before the first may go."""
    gate = threading.Barrier(size)

    def one(number: int) -> requests.Response:
        gate.wait(30)
        return ask(number)

    with ThreadPoolExecutor(size) as threads:
        return Crowd(list(threads.map(one, range(size))))


def creates(caller: Caller, prefix: str, **body: Any) -> Callable[..., requests.Response]:
    """For ``crowd``: a container each, of a name of its own; ``more`` headers if there are any."""
    token = caller.token

    def ask(number: int, more: Mapping[str, str] = MappingProxyType({})) -> requests.Response:
        wanted = {
            "name": f"{prefix}-{number}",
            "backend": "docker",
            "project": caller.project,
            "config": {"image": "libgo/demo:latest"},
            "labels": {"libgo.test": "live"},
            "auto_start": False,
            **body,
        }
        headers = {"Authorization": f"Bearer {token}", **more}
        url = f"{caller.live.url}/api/v1/compute/instances"
        return requests.post(url, json=wanted, headers=headers, timeout=120)

    return ask
