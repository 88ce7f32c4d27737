"""The serial log as a file that grows and is rotated, read on from any line."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute.backends.types import LogQuery
from kvm.engine.logs import _Reader
from tests.attacks.catalogue import attack


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "serial.log"
    path.write_text("one\ntwo\nthr")
    return path


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_a_line_is_given_once_it_is_whole_and_none_between_tail_and_following_is_lost(log: Path) -> None:
    reader = _Reader(log)
    assert [line.text for line in reader.begin(LogQuery(tail=1))] == ["two"]
    _append(log, "ee\nfour\nfi")
    assert [line.text for line in reader.more()] == ["three", "four"]
    assert reader.more() == []
    assert [line.text for line in reader.rest()] == ["fi"]


def test_reading_on_begins_right_behind_the_last_line(log: Path) -> None:
    last = _Reader(log).begin(LogQuery())[-1]
    _append(log, "ee\nfour\n")
    again = _Reader(log)
    assert [line.text for line in again.begin(LogQuery(after=last.place))] == ["three", "four"]


def test_rotation_loses_nothing(log: Path) -> None:
    reader = _Reader(log)
    last = reader.begin(LogQuery())[-1]
    _append(log, "ee\nlast of the old\n")
    log.rename(log.with_name("serial.log.0"))
    log.write_text("first of the new\n")
    wanted = ["three", "last of the old", "first of the new"]
    assert [line.text for line in reader.more()] == wanted
    assert [line.text for line in _Reader(log).begin(LogQuery(after=last.place))] == wanted


def test_a_guest_that_never_spoke_has_an_empty_log(tmp_path: Path) -> None:
    reader = _Reader(tmp_path / "absent.log")
    assert reader.begin(LogQuery()) == [] and reader.more() == []


@attack("S80", "a serial line without an end", refused="cut")
def test_a_line_without_end_is_cut(log: Path) -> None:
    reader = _Reader(log)
    reader.begin(LogQuery(tail=0))
    _append(log, "x" * 200_000)
    assert len(reader.more()) == 1 and reader.rest() == []
