"""A console of these tests alone: its broker belongs to them, and its processes know failpoints."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tests.brokers import Broker
from tests.failpoints import Failpoints
from tests.faults.cases import quiet_body, things_of
from tests.live import ENDED, LiveConsole, until
from tests.people import Caller

TASK = "compute.tasks.operation_run"


class Shaky:
    """A console with failpoints over a broker of the test's own."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.points, self.broker = Failpoints(folder / "points"), Broker(folder / "broker")
        self.live = LiveConsole(folder / "var", REDIS_URL=self.broker.url, **self.points.environ, **environ)
        self.word = f"lgb{os.getpid()}x{os.urandom(2).hex()}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Shaky]:
        self.broker.start()
        try:
            self.live.start()
            yield self
        finally:
            self.points.set()
            self.live.stop()
            self.broker.end()

    def names(self, count: int) -> list[str]:
        begun = os.urandom(2).hex()
        return [f"{self.word}-{begun}-{number}" for number in range(count)]

    def ask(self, name: str) -> str:
        """The operation that makes this container."""
        answer = self.create(name)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["operation"]["id"])

    def create(self, name: str) -> requests.Response:
        body = quiet_body(name, auto_start=False)
        return Caller(self.live, "admin").call("POST", "/compute/instances", body)

    def outcome(self, operation: str) -> dict[str, Any]:
        return dict(self.live.get(f"/operations/{operation}"))

    def succeeded(self, operations: list[str], within_s: float) -> float:
        open_ = list(operations)

        def none_open() -> bool:
            open_[:] = [one for one in open_ if self.outcome(one)["state"] not in ENDED]
            return not open_

        took = until(none_open, "all have ended", within_s)
        bad = [told for told in map(self.outcome, operations) if told["state"] != "succeeded"]
        assert not bad, bad
        return took

    def once_each(self, operations: list[str], names: list[str]) -> None:
        """Nothing was lost, and nothing done twice."""
        made = {thing.split(" ")[1] for name in names for thing in things_of(self.live, name)}
        assert made == set(names)
        assert [self.points.passed(one).count("begin") for one in operations] == [1] * len(operations)

    def gone(self) -> None:
        """Whatever a test made."""
        rows = self.live.get(f"/compute/instances?q={self.word}&page_size=500")["instances"]
        if rows:
            body = {"action": "delete", "ids": [row["id"] for row in rows], "options": {"force": True}}
            deleted = self.live.api("POST", "/compute/instances/bulk?wait=60", body)
            assert deleted.status_code == 200, deleted.text
        until(lambda: not things_of(self.live, self.word), "nothing is left", 30)
