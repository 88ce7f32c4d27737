"""What a run tries of very many combinations: some of each kind, all within some turns, or all at once."""

from __future__ import annotations

import pytest

from libgo_site.launch import cli, engines, suite
from tests import thorough


@pytest.fixture(autouse=True)
def usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is not thorough, whatever this one is."""
    monkeypatch.delenv("LIBGO_TEST_THOROUGH", raising=False)
    monkeypatch.setenv("LIBGO_TEST_TURN", "0")


@pytest.mark.parametrize("length", [1, 2, 3, 4, 10])
def test_turns_that_follow_each_other_meet_all_and_none_is_empty(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, met = list(range(length)), set()
    for number in range(20_000, 20_003):
        monkeypatch.setenv("LIBGO_TEST_TURN", str(number))
        chosen = thorough.cut(found, 3)
        assert chosen and len(chosen) <= length // 3 + 1
        met |= set(chosen)
    assert met == set(found)
    assert thorough.cut([], 3) == []


def test_rows_side_by_side_begin_at_different_places() -> None:
    assert [thorough.cut("abc", 3, skip=row) for row in range(4)] == [["a"], ["b"], ["c"], ["a"]]


def test_a_thorough_run_tries_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--thorough" in thorough.told() and "LIBGO_TEST_TURN=0" in thorough.told()
    monkeypatch.setenv("LIBGO_TEST_THOROUGH", "1")
    assert thorough.cut("abcdefg", 3) == list("abcdefg") and "every combination" in thorough.told()


def test_the_turn_of_a_run_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIBGO_TEST_TURN")
    began = thorough.turn()
    thorough.turn_keep()
    monkeypatch.setattr(thorough, "_DAY_S", 60)
    assert thorough.turn() in (began, began + 1)


@pytest.mark.parametrize(
    ("words", "left", "said"), [(["--thorough"], [], "1"), (["tests/kvm"], ["tests/kvm"], None)]
)
def test_the_command_says_it_to_every_process(
    words: list[str], left: list[str], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[list[str], str | None]] = []

    def run(arguments: list[str], environ: dict[str, str]) -> int:
        ran.append((arguments, environ.get("LIBGO_TEST_THOROUGH")))
        return 0

    monkeypatch.setattr(cli, "_ready_for_tests", lambda: [])
    monkeypatch.setattr(engines, "engines_stop", lambda started: None)
    monkeypatch.setattr(suite, "suite_run", run)
    assert cli.main(["test", *words]) == 0
    assert ran == [(left, said)]
