"""One reading of a log for all its viewers: joins without gap or repetition, bounds, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from compute.backends.fake import FakeBackend, FakeEngine
from compute.backends.registry import backend_for
from compute.backends.types import InstanceInfo, LogLine, nanos_text
from compute.errors import BackendUnavailable, InstanceNotFound, OperationNotSupported
from compute.loghub import Batch, Mark, Shown, Wanted, follow, hub, source, viewer
from compute.loghub.pieces import Seen
from compute.models import Instance, Node
from compute.selectors.nodes import node_config
from compute.states import InstanceState, InstanceType

pytestmark = pytest.mark.django_db(transaction=True)
ENGINE_ID = "e1"


class Reader:
    """Follows in the background and keeps what it got."""

    def __init__(self, generator: Any) -> None:
        self.pieces: list[Any] = []
        self.paused = asyncio.Event()
        self.paused.set()
        self._generator = generator
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for piece in self._generator:
                self.pieces.append(piece)
                await self.paused.wait()
        finally:
            await self._generator.aclose()

    @property
    def texts(self) -> list[str]:
        return [line.text for piece in self.pieces if isinstance(piece, Batch) for line in piece.lines]

    @property
    def marks(self) -> list[Mark]:
        return [piece for piece in self.pieces if isinstance(piece, Mark)]

    async def until(self, true: Callable[[], Any]) -> None:
        for _ in range(2000):
            if true():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(self.texts)} lines, the last {self.texts[-3:]}; marks {self.marks}")

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Log:
    """One instance on the fake engine, and readers of its log."""

    def __init__(self, row: Instance, backend: FakeBackend, engine: FakeEngine) -> None:
        self.row, self.backend, self.engine = row, backend, engine
        self.readers: list[Reader] = []

    def say(self, *texts: str) -> None:
        self.engine.say(ENGINE_ID, *texts)

    def read(self, **wanted: Any) -> Reader:
        reader = Reader(follow(self.row, self.backend, Wanted(**wanted)))
        self.readers.append(reader)
        return reader

    async def state(self, state: InstanceState, **changes: Any) -> None:
        info = self.engine.instances[ENGINE_ID]
        self.engine.instances[ENGINE_ID] = replace(info, state=state, status=str(state), **changes)
        columns = {"state": state.value, **changes}
        await Instance.objects.filter(pk=self.row.pk).aupdate(**columns)


@pytest.fixture
async def log(
    project: Any, fake_node: Node, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Log]:
    monkeypatch.setattr(hub, "_GRACE_S", 0.05)
    monkeypatch.setattr(source, "_AGAIN_FIRST_S", 0.02)
    monkeypatch.setattr(source, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(source, "_ANEW_S", 0.05)
    row = await sync_to_async(Instance.objects.create)(
        node=fake_node,
        project=project,
        name="web",
        type="container",
        engine_id=ENGINE_ID,
        state="running",
        created_at="2026-01-01T00:00:00Z",
    )
    engine.instances[ENGINE_ID] = InstanceInfo(
        ENGINE_ID, "web", InstanceType.CONTAINER, InstanceState.RUNNING, "Up"
    )
    backend = backend_for(node_config(fake_node))
    assert isinstance(backend, FakeBackend)
    made = Log(row, backend, engine)
    yield made
    for reader in made.readers:
        await reader.leave()
    await asyncio.sleep(0.1)


def numbered(first: int, last: int) -> list[str]:
    return [f"line {n}" for n in range(first, last + 1)]


async def test_many_viewers_cost_one_stream_which_is_closed_after_the_last(log: Log) -> None:
    log.say(*numbered(1, 50))
    first = log.read(tail=20)
    await first.until(lambda: len(first.texts) == 20)
    others = [log.read(tail=10) for _ in range(100)]
    log.say("after")
    for reader in others:
        await reader.until(lambda reader=reader: reader.texts[-1:] == ["after"])
        assert reader.texts == [*numbered(41, 50), "after"]
    assert (log.engine.log_streams, log.engine.log_readings) == (1, 0)
    for reader in log.readers:
        await reader.leave()
    await first.until(lambda: (log.engine.log_streams, hub.sources_open()) == (0, 0))


@pytest.mark.parametrize("tail", [0, 1, 30, 500, 3000, None])
async def test_who_joins_later_sees_each_line_once_and_in_order(log: Log, tail: int | None) -> None:
    """While lines keep coming, and also when more is asked for than the source keeps."""
    log.say(*numbered(1, 4000))
    log.read(tail=5)
    stop = asyncio.Event()

    async def write() -> None:
        number = 4000
        while not stop.is_set():
            number += 1
            log.say(f"line {number}")
            await asyncio.sleep(0.001)

    writer = asyncio.create_task(write())
    await asyncio.sleep(0.1)
    reader = log.read(tail=tail)
    await asyncio.sleep(0.3)
    stop.set()
    await writer
    log.say("end")
    await reader.until(lambda: reader.texts[-1:] == ["end"])
    numbers = [int(text.split()[1]) for text in reader.texts[:-1]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) >= (tail or 0) and (tail is not None or numbers[0] == 1)
    assert not reader.marks
    assert log.engine.log_streams == 1


async def test_lines_that_share_a_time_or_stand_out_of_order_are_neither_lost_nor_repeated(log: Log) -> None:
    now = 1_800_000_000_000_000_000
    lines = [LogLine(f"old {n}", "stdout", now - 1000 + n) for n in range(600)]
    lines += [LogLine(f"same {n}", "stdout", now) for n in range(300)]
    lines += [LogLine("before its time", "stderr", now - 50)]
    log.engine.logs[ENGINE_ID] = list(lines)
    first = log.read(tail=5)
    await first.until(lambda: first.texts[-1:] == ["before its time"])
    second = log.read(tail=700)
    await second.until(lambda: len(second.texts) >= 700)
    log.engine.logs[ENGINE_ID].append(LogLine("last", "stdout", now))
    await second.until(lambda: second.texts[-1:] == ["last"])
    assert second.texts == [line.text for line in lines[-700:]] + ["last"]


async def test_since_is_answered_from_what_is_kept_or_from_the_engine(log: Log) -> None:
    log.say(*numbered(1, 300))
    first = log.read(tail=100)
    await first.until(lambda: len(first.texts) == 100)
    kept = log.engine.logs[ENGINE_ID][250]
    near = log.read(tail=None, since=kept.timestamp)
    await near.until(lambda: near.texts[-1:] == ["line 300"])
    assert "line 251" in near.texts and log.engine.log_readings == 0
    far = log.read(tail=None, since=log.engine.logs[ENGINE_ID][0].timestamp - timedelta(seconds=1))
    await far.until(lambda: len(far.texts) == 300)
    assert far.texts == numbered(1, 300) and log.engine.log_readings == 1


async def test_one_that_reads_slowly_loses_the_oldest_and_is_told_how_many(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "LINES_MAX", 500)
    slow, fast = log.read(tail=0), log.read(tail=0)
    await slow.until(lambda: log.engine.log_streams)
    log.say("first")
    await slow.until(lambda: slow.texts == ["first"])
    slow.paused.clear()
    for start in range(1, 3001, 100):
        log.say(*numbered(start, start + 99))
        await asyncio.sleep(0.01)
    await fast.until(lambda: fast.texts[-1:] == ["line 3000"])
    assert len(fast.texts) == 3001 and not fast.marks
    slow.paused.set()
    await slow.until(lambda: slow.texts[-1:] == ["line 3000"])
    (mark,) = slow.marks
    assert mark.kind == "skipped" and mark.lines == 3001 - len(slow.texts) > 2000
    assert f"{mark.lines:,} lines skipped" in mark.text


async def test_the_end_of_a_stream_is_not_the_end_of_the_log(log: Log) -> None:
    log.say(*numbered(1, 10))
    reader = log.read()
    await reader.until(lambda: len(reader.texts) == 10)
    log.engine.log_cuts += 1
    log.say(*numbered(11, 20))
    await reader.until(lambda: reader.texts[-1:] == ["line 20"])
    log.engine.log_cuts += 1
    await asyncio.sleep(0.1)
    log.say("line 21")
    await reader.until(lambda: reader.texts[-1:] == ["line 21"])
    assert reader.texts == numbered(1, 21) and not reader.marks


async def test_a_lost_engine_is_told_once_and_the_log_goes_on_where_it_stopped(log: Log) -> None:
    log.say(*numbered(1, 10))
    reader = log.read()
    await reader.until(lambda: len(reader.texts) == 10)
    log.engine.fail_with = BackendUnavailable("The engine is away.")
    log.engine.log_cuts += 1
    await reader.until(lambda: reader.marks)
    await asyncio.sleep(0.2)
    log.engine.fail_with = None
    log.say(*numbered(11, 12))
    await reader.until(lambda: reader.texts[-1:] == ["line 12"])
    assert reader.texts == numbered(1, 12)
    assert [mark.kind for mark in reader.marks] == ["lost"]


async def test_a_stop_and_a_start_are_marks_in_the_same_view(log: Log) -> None:
    log.say("begun")
    reader, once = log.read(), log.read(goes_on=False)
    await reader.until(lambda: reader.texts == ["begun"])
    await log.state(InstanceState.STOPPED)
    await reader.until(lambda: reader.marks)
    await asyncio.wait_for(once.task, 20)
    late = log.read(goes_on=False)
    await asyncio.wait_for(late.task, 20)
    assert late.texts == ["begun"] and late.marks[0].kind == "stopped"
    await log.state(InstanceState.RUNNING)
    log.say("begun again")
    await reader.until(lambda: reader.texts == ["begun", "begun again"])
    assert [mark.kind for mark in reader.marks] == ["stopped", "started"]


async def test_the_removal_of_the_instance_ends_it(log: Log) -> None:
    log.say("alive")
    reader = log.read()
    await reader.until(lambda: reader.texts)
    del log.engine.instances[ENGINE_ID]
    await Instance.objects.filter(pk=log.row.pk).adelete()
    await asyncio.wait_for(reader.task, 20)
    assert [mark.kind for mark in reader.marks] == ["gone"]


async def test_what_cannot_be_opened_is_an_error(log: Log) -> None:
    del log.engine.instances[ENGINE_ID]
    with pytest.raises(InstanceNotFound):
        await log.read().task
    log.engine.fail_with = BackendUnavailable("The engine is away.")
    with pytest.raises(BackendUnavailable):
        await log.read().task


async def test_a_log_without_times_refuses_since_and_gives_what_is_kept(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeBackend, "logs_have_times", False)
    log.engine.logs[ENGINE_ID] = [LogLine(text, "console") for text in numbered(1, 50)]
    first = log.read(tail=30)
    await first.until(lambda: len(first.texts) == 30)
    second = log.read(tail=200)
    await second.until(lambda: len(second.texts) == 30)
    with pytest.raises(OperationNotSupported):
        await log.read(since=log.row.created_at).task


async def test_one_that_writes_without_end_is_held_back_and_then_skipped_over(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_LINES_PER_S", 2000)
    monkeypatch.setattr(source, "_BURST", 4000)
    monkeypatch.setattr(source, "_HELD_MAX_S", 0.2)
    monkeypatch.setattr(source, "_AGAIN_FIRST_S", 0.05)
    reader = log.read(tail=0)
    await reader.until(lambda: log.engine.log_streams)
    log.say(*numbered(1, 20_000))
    await reader.until(lambda: reader.texts[-1:] == ["line 20000"])
    assert [mark.kind for mark in reader.marks] == ["skipped"]
    assert 4000 < len(reader.texts) < 12_000


def test_what_is_made_for_one_viewer_serves_all_like_it() -> None:
    batch = Batch([LogLine("out", "stdout", 1_500_000_000_000_000_001), LogLine("err", "stderr", None)])
    shown = Shown(stderr=False, timestamps=True)
    assert batch.envelope(shown) is batch.envelope(Shown(stderr=False, timestamps=True))
    assert batch.plain(shown) == "2017-07-14T02:40:00.000000001Z out\n"
    assert batch.plain(Shown()) == "out\nerr\n"
    assert Batch([LogLine("err", "stderr")]).envelope(Shown(stderr=False)) == ""


def test_a_second_reading_gives_only_what_the_first_had_not() -> None:
    first = [LogLine("a", "stdout", 1), LogLine("b", "stdout", 2), LogLine("b", "stdout", 2)]
    seen = Seen(first)
    assert seen.fresh([*first, LogLine("b", "stdout", 2), LogLine("c", "stdout", 3)]) == [
        LogLine("b", "stdout", 2),
        LogLine("c", "stdout", 3),
    ]
    assert seen.met
    assert nanos_text(1) == "1970-01-01T00:00:00.000000001Z"
