"""From samples to points, and how little room they take."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from compute.usage import codec
from compute.usage.codec import FINE, HOURLY, RESOLUTIONS, Block
from compute.usage.points import COLUMNS, Collector, Point, points_merge

CPU = COLUMNS.index(("cpu_percent", "avg"))
CPU_MAX = COLUMNS.index(("cpu_percent", "max"))
RECEIVED = COLUMNS.index(("network_rx_bytes_per_s", "avg"))
EMPTY: Point = (None,) * len(COLUMNS)


def _sample(cpu: float | None = None, received: int | None = None) -> dict[str, Any]:
    return {"cpu_percent": cpu, "network_rx_bytes": received}


def _collected(*samples: tuple[float, dict[str, Any]]) -> dict[int, Point]:
    collector = Collector()
    for at_s, sample in samples:
        collector.put("one", at_s, collector.measures("one", at_s, sample))
    return collector.ready(math.inf).get("one", {})


def test_samples_of_ten_seconds_become_mean_least_and_most() -> None:
    points = _collected(
        (100, _sample(10.0)), (104, _sample(20.0)), (109.9, _sample(60.0)), (110, _sample(5.0))
    )
    assert points[100][CPU] == 30.0
    assert points[100][CPU_MAX] == 60.0
    assert points[110][CPU] == 5.0


def test_counters_become_rates_and_one_that_went_back_has_none() -> None:
    points = _collected(
        (100, _sample(received=1000)),
        (105, _sample(received=2000)),
        (111, _sample(received=50)),
        (115, _sample(received=450)),
    )
    assert points[100][RECEIVED] == 200.0
    assert points[110][RECEIVED] == 100.0, "only the second look after the restart has a rate"


def test_counters_that_were_read_far_apart_tell_no_rate() -> None:
    points = _collected((100, _sample(received=0)), (160, _sample(received=6000)))
    assert points[160][RECEIVED] is None


def test_what_is_not_over_is_not_ready_and_what_is_stored_is_forgotten() -> None:
    collector = Collector()
    for at_s in (100, 112):
        collector.put("one", at_s, {"cpu_percent": 1.0})
    assert list(collector.ready(115)["one"]) == [100]
    collector.forget(115)
    assert list(collector.ready(math.inf)["one"]) == [110]


def test_samples_that_nobody_stores_are_bounded() -> None:
    collector = Collector()
    for at_s in range(0, 10_000, 10):
        collector.put("one", at_s, {"cpu_percent": 1.0})
    kept = collector.ready(math.inf)["one"]
    assert len(kept) == 360
    assert max(kept) == 9990


def test_feeding_leaves_out_the_first_span() -> None:
    collector = Collector()
    stamps = ("2026-01-01T00:00:08Z", "2026-01-01T00:00:12Z")
    collector.feed("one", [{"timestamp": stamp, "cpu_percent": 4.0} for stamp in stamps])
    assert [at % 60 for at in collector.ready(math.inf)["one"]] == [10]


def test_a_gap_in_the_middle_stays_out_of_the_mean() -> None:
    one = (4.0, *EMPTY[1:])
    assert points_merge([one, EMPTY])[CPU] == 4.0
    assert points_merge([]) == EMPTY


def _point(rng: random.Random) -> Point:
    point: list[float | None] = []
    for metric, stat in COLUMNS:
        if metric == "storage_used_bytes":
            point.append(None)
        elif stat == "avg":
            point.append(10 ** rng.uniform(-1, 12))
        else:
            point.append((point[-1] or 0.0) * (rng.uniform(1, 9) if stat == "max" else rng.random()))
    return tuple(point)


def test_a_block_gives_back_what_it_was_given() -> None:
    rng, block = random.Random(5), Block(90)
    given = {place: _point(rng) for place in (0, 3, 89)}
    given[3] = (0.0, None, *given[3][2:])
    for place, point in given.items():
        block.set(place, point)
    found = dict(Block.unpack(block.pack(), 90).filled())
    assert set(found) == {0, 3, 89}
    for place, point in given.items():
        for before, after in zip(point, found[place], strict=True):
            if before is None or before < 0.01:
                assert after == before if before is None else after == 0.0
            else:
                assert after == pytest.approx(before, rel=0.0015)


@pytest.mark.parametrize("data", [b"\x02\x00\x00\x00\x00", b"\x01\x00\x00\xff\xff"])
def test_what_is_no_block_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no block"):
        Block.unpack(data, 90)


def test_a_year_of_an_instance_has_its_bytes() -> None:
    """The budget: whatever the values are, an instance takes at most so much; 1,000 of them take less
    than half a gigabyte."""
    assert codec.year_bytes_max() == 465_256
    rng, most = random.Random(7), 0
    for resolution in RESOLUTIONS:
        block = Block(resolution.points)
        for place in range(resolution.points):
            block.set(place, _point(rng))
        size = len(block.pack())
        assert size <= codec.block_bytes_max(resolution.points)
        most += size * resolution.blocks_max
    assert most <= codec.year_bytes_max()


def test_a_calm_instance_takes_a_fraction() -> None:
    block = Block(HOURLY.points)
    for place in range(HOURLY.points):
        block.set(place, (2.0, 1.0, 9.0, 5e8, 5e8, 5e8, *([0.0] * 8), None))
    assert len(block.pack()) < 200


def test_numbers_beyond_the_scale_do_not_break_it() -> None:
    for value in (0.0, 1e-9, 1e17, 1e30):
        assert 0 < codec.code_of(value) <= 0xFFFF
    assert FINE.block_start(1_000_000_123) % FINE.block_s == 0
