"""Samples for many: one question a second, nothing twice, and what stays away is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from compute import statshub


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    kept: dict[str, Any] = {"samples": {}, "questions": 0}

    def latest(ids: list[str]) -> dict[str, Any]:
        kept["questions"] += 1
        return {pk: kept["samples"][pk][-1] for pk in ids if kept["samples"].get(pk)}

    monkeypatch.setattr(statshub, "usage_latest", latest)
    monkeypatch.setattr(statshub, "usage_recent", lambda pk, count: kept["samples"].get(pk, [])[-count:])
    monkeypatch.setattr(statshub, "_LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(statshub, "_OVERDUE_S", 0.3)
    return kept


async def _take(generator: Any, count: int) -> list[Any]:
    return [await asyncio.wait_for(anext(generator), 20) for _ in range(count)]


async def test_a_hundred_looking_on_cost_one_question_at_a_time(redis: dict[str, Any]) -> None:
    redis["samples"] = {pk: [{"timestamp": "1"}, {"timestamp": "2"}] for pk in ("a", "b")}
    watched = [statshub.samples("ab"[number % 2]) for number in range(100)]
    for each in watched:
        assert [sample["timestamp"] for sample in await _take(each, 2)] == ["1", "2"]
    before = redis["questions"]
    for pk in ("a", "b"):
        redis["samples"][pk].append({"timestamp": "3"})
    news = await asyncio.gather(*(_take(each, 1) for each in watched))
    assert all(got == [{"timestamp": "3"}] for got in news)
    assert redis["questions"] - before < 20
    for each in watched:
        await each.aclose()
    await asyncio.sleep(0.1)
    after = redis["questions"]
    await asyncio.sleep(0.1)
    assert redis["questions"] == after


async def test_samples_that_stay_away_are_told_once_and_end_a_stream_of_rows(redis: dict[str, Any]) -> None:
    redis["samples"] = {"a": [{"timestamp": "1"}]}
    watched = statshub.samples("a")
    assert await _take(watched, 2) == [{"timestamp": "1"}, None]
    redis["samples"]["a"].append({"timestamp": "2"})
    assert await _take(watched, 1) == [{"timestamp": "2"}]
    await watched.aclose()
    rows = [row async for row in statshub.sample_rows("a")]
    assert rows == [b"", b'{"timestamp":"2"}\n']


async def test_a_board_tells_of_many_at_once_and_of_others_when_they_change(redis: dict[str, Any]) -> None:
    redis["samples"] = {pk: [{"timestamp": "1"}] for pk in ("a", "b", "c")}
    board = statshub.Board()
    board.show(["a", "b"])
    assert await asyncio.wait_for(board.news(), 20) == {"a": {"timestamp": "1"}, "b": {"timestamp": "1"}}
    redis["samples"]["a"].append({"timestamp": "2"})
    assert await asyncio.wait_for(board.news(), 20) == {"a": {"timestamp": "2"}}
    board.show(["b", "c"])
    assert await asyncio.wait_for(board.news(), 20) == {"c": {"timestamp": "1"}}
    seen: dict[str, Any] = {}
    while seen.keys() < {"b", "c"}:
        seen |= await asyncio.wait_for(board.news(), 20)
    assert seen == {"b": {"timestamp": None}, "c": {"timestamp": None}}, "that they stay away is told"
    board.close()
    await asyncio.sleep(0.1)
    after = redis["questions"]
    await asyncio.sleep(0.1)
    assert redis["questions"] == after
