"""Every long action, lost, failed and cancelled at every boundary between two of its steps."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import requests

from tests.dockerapp.conftest import registry  # noqa: F401
from tests.failpoints import Failpoints, Rule
from tests.faults.cases import CASES, Case, leftovers_of, pull_of, things_of
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.live import LiveConsole, until

ENDED = ("succeeded", "failed", "cancelled", "interrupted")
# A process runs six operations of one node at once; those that are held keep their places.
_AT_ONCE = 6
_LEASE_S = 8
# The reaper's 30 s, and patience with a busy machine.
_OVER_S = 60
_NAMES = itertools.count()
T = TypeVar("T")


@dataclass
class Cell:
    """One operation that meets its fate at boundary number ``at``."""

    case: Case
    at: int
    word: str = field(default_factory=lambda: f"lgf{os.getpid()}x{next(_NAMES)}x{os.urandom(2).hex()}")
    before: set[str] = field(default_factory=set)
    asked: Future[requests.Response] | None = None
    operation: str = ""

    def rule(self, do: str) -> Rule:
        return Rule(self.case.action, self.case.subject(self.word), self.at, do)

    def __str__(self) -> str:
        return f"{self.case.name}, boundary {self.at}"


@dataclass
class Bench:
    """A console whose processes were started with failpoints, and many hands."""

    live: LiveConsole
    points: Failpoints
    hands: ThreadPoolExecutor
    cases: tuple[Case, ...]
    boundaries: dict[str, list[str]] = field(default_factory=dict)

    def each(self, do: Callable[[Cell], T], cells: list[Cell]) -> list[T]:
        return list(self.hands.map(do, cells))

    def arrange(self, cells: list[Cell]) -> None:
        self.each(lambda cell: cell.case.arrange(self.live, cell.word), cells)
        for cell in cells:
            cell.before = things_of(self.live, cell.word)

    def ask(self, cells: list[Cell]) -> None:
        for cell in cells:
            cell.asked = self.hands.submit(cell.case.ask, self.live, cell.word)

    def struck(self, cells: list[Cell], within_s: float = 40) -> None:
        """Wait until each of them has met its rule."""

        def waiting() -> list[str]:
            struck = self.points.struck()
            return [str(cell) for cell in cells if cell.case.subject(cell.word) not in struck]

        try:
            until(lambda: not waiting(), "all are where they shall be", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {waiting()}") from error
        for cell in cells:
            cell.operation = self.points.struck()[cell.case.subject(cell.word)]

    def outcome(self, cell: Cell) -> dict[str, Any]:
        return dict(self.live.get(f"/operations/{cell.operation}"))

    def ended(self, cells: list[Cell], within_s: float) -> float:
        """Wait for the end of all; the seconds until the last."""
        open_ = list(cells)

        def none_open() -> bool:
            open_[:] = [cell for cell in open_ if self.outcome(cell)["state"] not in ENDED]
            return not open_

        try:
            return until(none_open, "every operation ends", within_s)
        except AssertionError as error:
            told = [f"{cell}: {self.outcome(cell)}" for cell in open_]
            raise AssertionError(f"{error}: {told}\n{self.live.logs()}") from error

    def once(self, cell: Cell) -> list[str]:
        """Do it without a fault; the boundaries that it met."""
        answer = cell.case.ask(self.live, cell.word)
        assert answer.status_code in (200, 201, 202), f"{cell}: {answer.text}"
        cell.operation = answer.json()["operation"]["id"]
        self.ended([cell], 60)
        outcome = self.outcome(cell)
        assert outcome["state"] == "succeeded", f"{cell}: {outcome}"
        return self.points.passed(cell.operation)

    def tidy(self, cells: list[Cell]) -> None:
        def one(cell: Cell) -> None:
            until(lambda: self._gone(cell), f"{cell.word} is gone", 30)

        self.each(one, cells)

    def _gone(self, cell: Cell) -> bool:
        cell.case.tidy(self.live, cell.word)
        return not things_of(self.live, cell.word)


@pytest.fixture(scope="module")
def bench(engines: None, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("failpoints")
    points = Failpoints(folder / "points")
    live = LiveConsole(folder / "var", LIBGO_LEASE_S=str(_LEASE_S), **points.environ)
    with ThreadPoolExecutor(24) as hands:
        try:
            live.start()
            live.token()
            yield Bench(live, points, hands, (*CASES, pull_of(registry)))
        finally:
            points.set()
            live.stop()


def _boundaries(bench: Bench) -> dict[str, list[str]]:
    """Of every case, counted by doing it once."""
    if not bench.boundaries:
        cells = [Cell(case, 0) for case in bench.cases]
        bench.arrange(cells)
        for cell, met in zip(cells, bench.each(bench.once, cells), strict=True):
            bench.boundaries[cell.case.name] = met
        bench.tidy(cells)
    return bench.boundaries


def _batches(cells: list[Cell]) -> list[list[Cell]]:
    """As many at once as there are places, on each of the two engines."""
    halves = [[], []]  # type: list[list[Cell]]
    for cell in cells:
        halves["VM" in cell.case.name or "image" in cell.case.name].append(cell)
    rows = [[half[n : n + _AT_ONCE] for n in range(0, len(half), _AT_ONCE)] for half in halves]
    return [a + b for a, b in itertools.zip_longest(*rows, fillvalue=[])]


def _as_before(bench: Bench, cell: Cell) -> None:
    """Nothing that it had made is left, and the mirror says the same. What was to be deleted may be gone."""
    uid = str(bench.outcome(cell)["instance"] or "nothing")

    def half() -> list[str]:
        now = things_of(bench.live, cell.word)
        wrong = now - cell.before if cell.case.action == "instance.delete" else now ^ cell.before
        wrong |= set() if _known(bench, cell) else leftovers_of(uid)
        return sorted(wrong) + cell.case.half(bench.live, cell.word)

    _until_none(half, f"{cell}: half made")
    _until_none(
        lambda: sorted(_known(bench, cell) ^ _engine(bench, cell)), f"{cell}: mirror and engine differ"
    )


def _until_none(found: Callable[[], list[str]], what: str) -> None:
    try:
        until(lambda: not found(), what, 10)
    except AssertionError as error:
        raise AssertionError(f"{error}: {found()}") from error


def _known(bench: Bench, cell: Cell) -> set[str]:
    rows = bench.live.get(f"/compute/instances?q={cell.word}&page_size=500")["instances"]
    return {str(row["name"]) for row in rows if cell.word in row["name"]}


def _engine(bench: Bench, cell: Cell) -> set[str]:
    things = (thing.split(" ", 1) for thing in things_of(bench.live, cell.word))
    return {name for kind, name in things if kind in ("container", "domain")}


def _again(bench: Bench, cell: Cell) -> None:
    """The same is asked for again, and works."""
    if cell.case.action == "instance.delete" and cell.word not in _known(bench, cell):
        return
    bench.once(cell)


@fault(
    "F22",
    "the worker (or, for uploads, the web process) is killed (SIGKILL) at every boundary between two steps",
    sees="the operation ends by itself, with the reason; the same asked for again works",
    keeps="nothing half-made on the engines; mirror and engine agree",
)
def test_a_lost_process_leaves_no_half_at_any_boundary(bench: Bench, measured: Measured) -> None:
    met = _boundaries(bench)
    cells = [Cell(case, number) for case in bench.cases for number in range(len(met[case.name]))]
    slowest = 0.0
    for batch in _batches(cells):
        bench.arrange(batch)
        bench.points.set(*(cell.rule("hold") for cell in batch))
        bench.ask(batch)
        bench.struck(batch)
        for name in {cell.case.runs_in for cell in batch}:
            bench.live.kill(name)
        bench.points.set()
        slowest = max(slowest, bench.ended(batch, _OVER_S))
        for cell, outcome in zip(batch, bench.each(bench.outcome, batch), strict=True):
            assert outcome["state"] in ("failed", "interrupted"), f"{cell}: {outcome}"
            assert outcome["error"]["message"] and not outcome["cleanup_needed"], f"{cell}: {outcome}"
        bench.each(lambda cell: _as_before(bench, cell), batch)
        bench.each(lambda cell: _again(bench, cell), batch)
        bench.tidy(batch)
    measured(f"{len(cells)} boundaries, the slowest ended after", slowest)


@fault(
    "F44",
    "each step of every long action fails",
    sees="the operation is failed and names the step",
    keeps="nothing half-made on the engines; the same asked for again works",
)
def test_a_failing_step_leaves_no_half(bench: Bench, measured: Measured) -> None:
    met = _boundaries(bench)
    cells = [Cell(case, number) for case in bench.cases for number in range(len(met[case.name]))]
    slowest = 0.0
    for batch in _batches(cells):
        bench.arrange(batch)
        bench.points.set(*(cell.rule("fail") for cell in batch))
        bench.ask(batch)
        bench.struck(batch)
        slowest = max(slowest, bench.ended(batch, _OVER_S))
        for cell, outcome in zip(batch, bench.each(bench.outcome, batch), strict=True):
            name = met[cell.case.name][cell.at]
            assert outcome["state"] == "failed" and name in outcome["error"]["message"], f"{cell}: {outcome}"
            assert outcome["error"]["details"].get("step", "") == outcome["step"], f"{cell}: {outcome}"
        bench.each(lambda cell: _as_before(bench, cell), batch)
        bench.points.set()
        bench.tidy(batch)
    measured(f"{len(cells)} boundaries, the slowest ended after", slowest)


@fault(
    "F45",
    "what may be cancelled is cancelled at every boundary between two steps",
    sees="cancelled within 5 seconds; what is over cannot be cancelled any more",
    keeps="nothing half-made on the engines",
)
def test_cancelling_at_any_boundary_leaves_no_half(bench: Bench, measured: Measured) -> None:
    met = _boundaries(bench)
    # At the last boundary all is made: what is cancelled there has succeeded.
    cells = [
        Cell(case, number)
        for case in bench.cases
        if case.may_cancel
        for number in range(len(met[case.name]) - 1)
    ]
    slowest = 0.0
    for batch in _batches(cells):
        bench.arrange(batch)
        bench.points.set(*(cell.rule("hold") for cell in batch))
        bench.ask(batch)
        bench.struck(batch)
        for cell in batch:
            answer = bench.live.api("DELETE", f"/operations/{cell.operation}")
            assert answer.status_code in (200, 202), f"{cell}: {answer.text}"
        bench.points.set()
        slowest = max(slowest, bench.ended(batch, 20))
        for cell, outcome in zip(batch, bench.each(bench.outcome, batch), strict=True):
            assert outcome["state"] == "cancelled", f"{cell} of {met[cell.case.name]}: {outcome}"
            late = bench.live.api("DELETE", f"/operations/{cell.operation}")
            assert late.status_code == 409, late.text
        bench.each(lambda cell: _as_before(bench, cell), batch)
        bench.tidy(batch)
    measured(f"{len(cells)} boundaries, the slowest ended after", slowest)
    assert slowest < 5
