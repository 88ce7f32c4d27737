"""How often one instance is looked at: two looks a second in the long run, three at once."""

from __future__ import annotations

import time

import pytest

from compute import watcher
from compute.watcher import Pace


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(watcher, "time", made)
    assert time.monotonic() != made.now, "only the watcher has it"
    return made


def _looks(pace: Pace, clock: Clock, seconds: float, every_s: float) -> int:
    """How many of the hints that come so often are followed at once."""
    count = 0
    for _ in range(round(seconds / every_s)):
        count += len(pace.due({"one"}))
        clock.now += every_s
    return count


def test_what_flaps_is_looked_at_twice_a_second(clock: Clock) -> None:
    pace = Pace()
    assert _looks(pace, clock, 1, 0.05) <= 3 + 2
    assert 18 <= _looks(pace, clock, 10, 0.05) <= 20


def test_three_at_once_and_then_each_its_turn(clock: Clock) -> None:
    pace = Pace()
    assert [len(pace.due({"one"})) for _ in range(4)] == [1, 1, 1, 0]
    assert pace.due({"one", "other"}) == {"other"}
    clock.now += 0.5
    assert [len(pace.due({"one"})) for _ in range(2)] == [1, 0]


def test_a_look_for_another_reason_delays_no_change_that_comes_now_and_then(clock: Clock) -> None:
    """Changes every 0.67 s, and after each fifth a comparison looks, too."""
    pace = Pace()
    for number in range(60):
        assert pace.due({"one"}), f"change {number} is followed at once"
        if number % 5 == 0:
            clock.now += 0.3
            pace.due({"one"})
            clock.now += 0.37
        else:
            clock.now += 0.67


def test_who_was_left_alone_is_forgotten(clock: Clock) -> None:
    pace = Pace()
    pace.due({str(number) for number in range(1000)})
    clock.now += 5
    pace.due(set())
    assert not pace._left
