"""Where the time of an operation goes: the stages that LibGo notes when ``LIBGO_STAGES`` was set."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.figures import Row, row
from tests.bench.wire import Wire

# What was done when an operation has come to a stage.
_WORDS = {
    "committed": "asked for: checked, permitted, written",
    "heard": "handed over to a worker",
    "claimed": "claimed, and told so",
    "acted": "the engine's act",
    "looked": "the engine's look after it",
    "done": "what was seen, written to the mirror",
    "closed": "closed and audited",
    "woken": "committed, and who waits told",
    "answered": "the outcome read, rendered and sent",
}
# Where a handler's engine calls are not told apart.
_WORK = "the engine's calls, and the mirror"


class _Mark(NamedTuple):
    at: int
    cpu: int
    pid: str
    stage: str


class _Asked(NamedTuple):
    operation: str
    began: int
    ended: int


class Stages:
    """Asks by ``api``, which waits for each end, and remembers what for."""

    def __init__(self, api: Wire, notes: Path) -> None:
        self._api, self._notes = api, notes
        self._asked: dict[str, list[_Asked]] = defaultdict(list)

    def ask(self, verb: str, method: str, path: str, body: Any = None) -> None:
        began = time.monotonic_ns()
        found = self._api.ask(method, path, body)
        ended = time.monotonic_ns()
        self._asked[verb].append(_Asked(json.loads(found)["operation"]["id"], began, ended))

    def rows(self, verb: str, noun: str) -> Iterator[Row]:
        """Each stage of all but the first, which warms up; and what the worker computed for it."""
        marks, taken, computed = self._marks(), defaultdict(list), []
        for asked in self._asked[verb][1:]:
            own = sorted(marks[asked.operation])
            pids = {mark.stage: mark.pid for mark in own}
            before = asked.began
            for mark in [*own, _Mark(asked.ended, 0, "", "answered")]:
                taken[mark.stage].append((mark.at - before) / 1e6)
                before = mark.at
            of_worker = [mark.cpu for mark in own if mark.pid == pids.get("heard")]
            computed.append((max(of_worker) - min(of_worker)) / 1e6)
        for stage, words in _WORDS.items():
            if stage in taken:
                told = _WORK if stage == "done" and "acted" not in taken else words
                yield row(f"… “{verb} {noun}”: {told}", taken[stage])
        yield row(f"… “{verb} {noun}”: processor of the worker, without its last telling", computed)

    def _marks(self) -> dict[str, list[_Mark]]:
        """By operation, the last of each stage: who waits long looks now and then before it is told."""
        found: dict[str, dict[str, _Mark]] = defaultdict(dict)
        for line in self._notes.read_text().splitlines():
            at, cpu, pid, stage, operation = line.split()
            found[operation][stage] = _Mark(int(at), int(cpu), pid, stage)
        return {operation: list(marks.values()) for operation, marks in found.items()}
