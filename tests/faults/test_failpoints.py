"""Every long action, lost, failed and cancelled at every boundary between two of its steps."""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pytest
import requests

from tests.dockerapp.conftest import registry_serve
from tests.failpoints import Failpoints, Rule
from tests.faults.cases import CASES, Case, leftovers_of, pull_of, things_of
from tests.faults.catalogue import fault
from tests.faults.conftest import Measured
from tests.faults.shaky import Shaky
from tests.live import ENDED, LiveConsole, strain, until
from tests.thorough import cut

# A process runs six operations of one node at once; those that are held keep their places.
_AT_ONCE = 6
# The reaper's 30 s, and patience with a busy machine.
_OVER_S = 60
_NAMES = itertools.count()
# Of the boundaries of each case, what a run tries that is not thorough.
_ONE_OF = 6
# What these begin with is met in every run.
_FIRM = ("begin", "make ", "close")
# In a boundary's name, instead of what the operation is about.
_WORD = "{}"
T = TypeVar("T")


@dataclass
class Cell:
    """One operation that meets its fate at the boundary ``at``."""

    case: Case
    at: str
    word: str = field(default_factory=lambda: f"lgf{os.getpid()}x{next(_NAMES)}x{os.urandom(2).hex()}")
    before: set[str] = field(default_factory=set)
    asked: Future[requests.Response] | None = None
    operation: str = ""

    @property
    def place(self) -> str:
        """The boundary's whole name."""
        return self.at.replace(_WORD, self.word)

    def rule(self, do: str) -> Rule:
        return Rule(self.case.action, self.case.subject(self.word), self.place, do)

    def __str__(self) -> str:
        return f"{self.case.name} at “{self.at}”"


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

    def strike(self, cells: list[Cell], do: str) -> Iterator[list[Cell]]:
        """As many at once as can be: those that stand at their boundary, or failed there."""
        for batch in _batches(cells):
            self.arrange(batch)
            self.points.set(*(cell.rule(do) for cell in batch))
            try:
                self.ask(batch)
                yield self.struck(batch)
            finally:
                # Also of a test that failed: who is held keeps a place.
                self.points.set()
            self.tidy(batch)

    def struck(self, cells: list[Cell]) -> list[Cell]:
        """Those that met their rule. How often a copy tells how far it is depends on the machine, so such a
        boundary may not come in every run; all that stand for an effect have to."""

        def waiting() -> list[Cell]:
            struck = self.points.struck()
            unmet = [cell for cell in cells if cell.case.subject(cell.word) not in struck]
            return [cell for cell in unmet if not self._over(cell)]

        try:
            until(lambda: not waiting(), "all are where they shall be", 60)
        except AssertionError as error:
            told = [str(cell) for cell in waiting()]
            raise AssertionError(f"{error}: {told}\n{self.live.logs()}") from error
        for cell in cells:
            cell.operation = self.points.struck().get(cell.case.subject(cell.word), "")
            assert cell.operation or not cell.at.startswith(_FIRM), f"{cell}: not met"
        return [cell for cell in cells if cell.operation]

    def _over(self, cell: Cell) -> bool:
        """Whether it succeeded without having met its boundary."""
        known = self.points.operations().get(cell.case.subject(cell.word))
        if known is None or not (cell.asked and cell.asked.done()):
            return False
        told = self.live.get(f"/operations/{known}")
        if told["action"] != cell.case.action or told["state"] not in ENDED:
            return False
        assert told["state"] == "succeeded", f"{cell}: {told}"
        return True

    def hasten(self, cells: list[Cell]) -> None:
        """Let the leases of these, whose process is dead, end now and not in 15 seconds."""
        with sqlite3.connect(self.live.var / "libgo.sqlite3", timeout=30) as base:
            ids = [(cell.operation.replace("-", ""),) for cell in cells]
            base.executemany("UPDATE compute_operation SET lease_until = started_at WHERE id = ?", ids)

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
        assert outcome["state"] == "succeeded", f"{cell}: {outcome}\n{self.live.logs()}"
        return self.points.passed(cell.operation)

    def tidy(self, cells: list[Cell]) -> None:
        def one(cell: Cell) -> None:
            until(lambda: self._gone(cell), f"{cell.word} is gone", 30)

        self.each(one, cells)

    def _gone(self, cell: Cell) -> bool:
        cell.case.tidy(self.live, cell.word)
        return not things_of(self.live, cell.word)


@pytest.fixture(scope="module")
def bench(shaky_console: Shaky, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("registry")
    with registry_serve(folder) as registry, ThreadPoolExecutor(3 * _AT_ONCE) as hands:
        yield Bench(shaky_console.live, shaky_console.points, hands, (*CASES, pull_of(registry)))
        shaky_console.points.set()


def _boundaries(bench: Bench) -> dict[str, list[str]]:
    """Of every case, counted by doing it once."""
    if not bench.boundaries:
        cells = [Cell(case, "") for case in bench.cases]
        bench.arrange(cells)
        for cell, met in zip(cells, bench.each(bench.once, cells), strict=True):
            bench.boundaries[cell.case.name] = [each.replace(cell.word, _WORD) for each in met]
        bench.tidy(cells)
    return bench.boundaries


def _cells(bench: Bench) -> list[Cell]:
    """Of every case some boundaries, or all; at least one that is met in every run."""
    found = []
    for row, case in enumerate(bench.cases):
        met = _boundaries(bench)[case.name]
        for is_firm in (True, False):
            some = [at for at in met if at.startswith(_FIRM) == is_firm]
            found += [Cell(case, at) for at in cut(some, _ONE_OF, row)]
    return found


def _effects(bench: Bench, but: tuple[str, ...] = ()) -> list[Cell]:
    """Of what makes something: before and after each step that makes it, not each word about the way. Some
    of them, or all."""
    found = []
    for row, case in enumerate(bench.cases):
        met = _boundaries(bench)[case.name]
        around = {
            place + more for place, name in enumerate(met) if name.startswith("make ") for more in (0, 1)
        }
        wanted = [name for place, name in enumerate(met) if place in around or name in ("begin", "close")]
        wanted = [name for name in wanted if name not in but]
        found += [Cell(case, at) for at in cut(wanted, _ONE_OF, row) if case.makes]
    return found


def _batches(cells: list[Cell]) -> list[list[Cell]]:
    """As many at once as a worker has places for on each engine; web processes have their own."""
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        place = "web" if cell.case.runs_in == "web" else cell.case.backend
        rows.setdefault(place, []).append(cell)
    cut = [[row[n : n + _AT_ONCE] for n in range(0, len(row), _AT_ONCE)] for row in rows.values()]
    return [list(itertools.chain(*parts)) for parts in itertools.zip_longest(*cut, fillvalue=[])]


def _as_before(bench: Bench, cell: Cell) -> None:
    """Nothing that it had made is left, and the mirror says the same. What was to be deleted may be gone."""
    uid = str(bench.outcome(cell)["instance"] or "nothing")

    def half() -> list[str]:
        now = things_of(bench.live, cell.word)
        wrong = now - cell.before if cell.case.action == "instance.delete" else now ^ cell.before
        wrong -= cell.case.whole(cell.word)
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


# Each of these is some seventy operations; the machine may be busy.
pytestmark = pytest.mark.timeout(900)


@fault(
    "F22",
    "the worker (or, for uploads, the web process) is killed (SIGKILL) at every boundary between two steps",
    sees="the operation ends by itself, with the reason; the same asked for again works",
    keeps="nothing half-made on the engines; mirror and engine agree",
)
def test_a_lost_process_leaves_no_half_at_any_boundary(bench: Bench, measured: Measured) -> None:
    times: list[float] = []
    again: dict[str, Cell] = {}
    for batch in bench.strike(_cells(bench), "hold"):
        for name in {cell.case.runs_in for cell in batch}:
            bench.live.kill(name)
        bench.points.set()
        # The first batch waits for the reaper as users do.
        if times:
            bench.hasten(batch)
        times.append(bench.ended(batch, _OVER_S))
        for cell, outcome in zip(batch, bench.each(bench.outcome, batch), strict=True):
            assert outcome["state"] in ("failed", "interrupted"), f"{cell}: {outcome}"
            assert outcome["error"]["message"] and not outcome["cleanup_needed"], f"{cell}: {outcome}"
        bench.each(lambda cell: _as_before(bench, cell), batch)
        # One of each action is enough: that the others left nothing is known.
        new = [cell for cell in batch if cell.case.name not in again]
        again.update({cell.case.name: cell for cell in new})
        bench.each(lambda cell: _again(bench, cell), list({cell.case.name: cell for cell in new}.values()))
    measured("the reaper ended them after", times[0])


@fault(
    "F44",
    "a create, clone, import, export, upload, pull or deployment fails before and after each thing it makes",
    sees="the operation is failed and names the step",
    keeps="nothing half-made on the engines; mirror and engine agree",
)
def test_a_failing_step_leaves_no_half(bench: Bench, measured: Measured) -> None:
    slowest = 0.0
    for batch in bench.strike(_effects(bench), "fail"):
        slowest = max(slowest, bench.ended(batch, _OVER_S))
        for cell, outcome in zip(batch, bench.each(bench.outcome, batch), strict=True):
            error = outcome["error"]
            assert outcome["state"] == "failed" and f"before: {cell.place}." in error["message"], outcome
            assert error["details"].get("step", "") == outcome["step"], f"{cell}: {outcome}"
        bench.each(lambda cell: _as_before(bench, cell), batch)
    measured("the slowest ended after", slowest)


@fault(
    "F45",
    "the same are cancelled before and after each thing they make",
    sees="cancelled within 5 seconds; what is over cannot be cancelled any more",
    keeps="nothing half-made on the engines; mirror and engine agree",
)
def test_cancelling_at_any_boundary_leaves_no_half(bench: Bench, measured: Measured) -> None:
    slowest = 0.0
    # At the last boundary all is made: what is cancelled there has succeeded.
    for batch in bench.strike(_effects(bench, but=("close",)), "hold"):
        for cell in batch:
            answer = bench.live.api("DELETE", f"/operations/{cell.operation}")
            assert answer.status_code in (200, 202), f"{cell}: {answer.text}"
        bench.points.set()
        slowest = max(slowest, bench.ended(batch, _OVER_S))
        for cell, outcome in zip(batch, bench.each(bench.outcome, batch), strict=True):
            assert outcome["state"] == "cancelled", f"{cell}: {outcome}"
            late = bench.live.api("DELETE", f"/operations/{cell.operation}")
            assert late.status_code == 409, late.text
        bench.each(lambda cell: _as_before(bench, cell), batch)
    measured("the slowest was cancelled after", slowest)
    assert slowest <= 5 * strain()


@fault(
    "F44",
    "a create fails at its end, and taking back what it made fails too",
    sees="failed, “cleanup needed” with what is left; seconds later it is cleaned up",
    keeps="nothing half-made on the engines",
)
def test_what_cannot_be_taken_back_is_told_and_tried_again(bench: Bench, measured: Measured) -> None:
    case = next(case for case in bench.cases if case.name == "create a VM")
    cell = Cell(case, "close")
    cell.before = things_of(bench.live, cell.word)
    stuck = Cell(case, "take back volume", cell.word)
    bench.points.set(cell.rule("fail"), stuck.rule("fail"))
    bench.ask([cell])
    (cell,) = bench.struck([cell])
    bench.ended([cell], 30)
    told = bench.outcome(cell)
    assert told["state"] == "failed" and told["cleanup_needed"], told
    lines = [item["line"] for item in bench.live.get(f"/operations/{cell.operation}/log")["items"]]
    assert any(line.startswith("Cleanup needed: the volume") for line in lines), lines
    left = partial(leftovers_of, str(told["instance"]))
    until(lambda: things_of(bench.live, cell.word) or left(), "something is left", 5)
    bench.points.set()
    cleaned = until(lambda: not bench.outcome(cell)["cleanup_needed"], "it is tried again", 40)
    measured("cleaned up after", cleaned)
    _as_before(bench, cell)
