"""Between a client and an engine: nobody's pace is the other's, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from compute.errors import BackendError, PayloadTooLarge
from dockerapp import spool
from dockerapp.spool import ahead, spooled

PIECE = bytes(range(256)) * 1024
PIECE_SIZES = (1, 1, 1, 3, 1, 1, 700)


class Engine:
    """``count`` pieces, each with its number; counts what was taken."""

    def __init__(self, count: int, *, fails: bool = False) -> None:
        self.count, self.fails = count, fails
        self.taken = 0
        self.is_closed = False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(self.count):
                await asyncio.sleep(0)
                self.taken += 1
                yield number.to_bytes(4, "big") + PIECE
            if self.fails:
                raise BackendError("the engine is gone")
        finally:
            self.is_closed = True

    @property
    def whole(self) -> bytes:
        return b"".join(number.to_bytes(4, "big") + PIECE for number in range(self.count))


@pytest.mark.parametrize("pause_every", [0, 1, 7, 30])
async def test_what_is_read_ahead_comes_in_order(tmp_path: Path, pause_every: int) -> None:
    engine, got = Engine(60), []
    async for chunk in ahead(engine.chunks(), tmp_path):
        got.append(chunk)
        if pause_every and len(got) % pause_every == 0:
            await asyncio.sleep(0.02)
    assert b"".join(got) == engine.whole and engine.is_closed


async def test_an_engine_does_not_wait_for_a_client(tmp_path: Path) -> None:
    engine = Engine(60)
    chunks = ahead(engine.chunks(), tmp_path)
    first = await anext(chunks)
    for _ in range(200):
        await asyncio.sleep(0.01)
        if engine.is_closed:
            break
    assert engine.taken == 60 and engine.is_closed, "the engine is done while the client has one piece"
    rest = [chunk async for chunk in chunks]
    assert first + b"".join(rest) == engine.whole
    assert list(tmp_path.iterdir()) == []


async def test_a_reader_that_leaves_ends_the_source(tmp_path: Path) -> None:
    engine = Engine(10_000)
    chunks = ahead(engine.chunks(), tmp_path)
    await anext(chunks)
    await chunks.aclose()
    assert engine.is_closed and engine.taken < 10_000


async def test_an_error_comes_after_what_came_before_it(tmp_path: Path) -> None:
    engine, got = Engine(30, fails=True), b""
    with pytest.raises(BackendError, match="the engine is gone"):
        async for chunk in ahead(engine.chunks(), tmp_path):
            await asyncio.sleep(0.001)
            got += chunk
    assert got == engine.whole


async def test_reading_ahead_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_AHEAD_MAX", 3 * len(PIECE))
    engine = Engine(100)
    chunks = ahead(engine.chunks(), tmp_path)
    first = await anext(chunks)
    await asyncio.sleep(0.3)
    assert engine.taken < 20
    assert first + b"".join([chunk async for chunk in chunks]) == engine.whole


async def test_a_body_is_put_aside_whole_or_not_at_all(tmp_path: Path) -> None:
    engine = Engine(9)
    async with spooled(engine.chunks(), tmp_path, 10**9) as body:
        assert body.size == len(engine.whole)
        for _ in range(2):
            assert b"".join([chunk async for chunk in body.chunks()]) == engine.whole
        assert list(tmp_path.iterdir()) == [], "it has no name"
    with pytest.raises(PayloadTooLarge):
        async with spooled(Engine(9).chunks(), tmp_path, 1000):
            raise AssertionError("it is too large")


async def test_a_full_disk_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_FREE_MIN", 2**62)
    with pytest.raises(BackendError, match="full"):
        async with spooled(Engine(9).chunks(), tmp_path, 10**9):
            raise AssertionError("there is no room")


async def test_any_number_of_pieces_is_put_aside_and_read_as_often_as_wanted(tmp_path: Path) -> None:
    """Many small ones are written at once, more than one call takes; and big ones between them."""
    pieces = [bytes([number % 256]) * (PIECE_SIZES[number % len(PIECE_SIZES)]) for number in range(5000)]

    async def chunks() -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            yield piece

    async with spooled(chunks(), tmp_path, 2**30) as body:
        assert body.size == sum(map(len, pieces))
        for _ in range(2):
            assert b"".join([chunk async for chunk in body.chunks()]) == b"".join(pieces)
        async with aclosing(body.chunks()) as left:
            assert await anext(left) == b"".join(pieces)[: 512 * 1024]
