"""A year of history for 1,000 instances: the room it takes, and how long a chart of it takes."""

from __future__ import annotations

import math
import random
import sqlite3
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from compute.usage.codec import FINE, RESOLUTIONS, Block, Resolution, year_bytes_max
from compute.usage.points import COLUMNS, Point
from tests.bench.figures import Row, interleaved, value
from tests.bench.run import Found, Site
from tests.bench.streams import container

_INSTANCES = 1000
# So many are made up; the others have the same pasts, which take as much room.
_DIFFERENT = 12
_MIB = 1024**2
_ONE_INSTANCE = "INSERT INTO compute_usageblock (subject, step_s, starts_s, data, is_rolled, updated_s)"


def usage(site: Site) -> Found:
    console, rounds = site.console, site.few(30)
    with container(site, "sleep 600") as name:
        pk = str((console.shown(name) or {})["id"])
        yield from _budget(console.var / "libgo.sqlite3", pk)
        token = {"Authorization": f"Bearer {console.log_in()}"}
        http = requests.Session()
        http.trust_env = False

        def ask(query: str) -> Callable[[], Any]:
            url = f"{console.url}/api/v1/compute/instances/{pk}/usage/history?{query}"

            def call() -> None:
                answer = http.get(url, headers=token, timeout=10)
                assert answer.status_code == 200, answer.text

            return call

        spans = {"1 hour": "1h", "24 hours": "24h", "7 days": "7d", "30 days": "30d", "1 year": "365d"}
        cases = {
            f"chart of one of {_INSTANCES} instances, {text}": ask(f"start=-{s}") for text, s in spans.items()
        }
        for row in interleaved(cases, rounds).values():
            yield row.at_most(200)
    # A year of a thousand is not what the other parts want to measure beside.
    site.renew()


def _budget(path: Path, pk: str) -> list[Row]:
    """Write a year of all of them into the console's database; what it takes."""
    rng, now_s = random.Random(11), time.time()
    pasts = [_past(rng, now_s) for _ in range(_DIFFERENT)]
    database = sqlite3.connect(path, timeout=60)
    before = _size(database)
    for number in range(_INSTANCES):
        subject = uuid.UUID(pk).hex if number == 0 else uuid.uuid4().hex
        rows = [(subject, *row, 1, int(now_s)) for row in pasts[number % _DIFFERENT]]
        with database:
            database.executemany(f"{_ONE_INSTANCE} VALUES (?, ?, ?, ?, ?, ?)", rows)
    after = _size(database)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    most = year_bytes_max() * _INSTANCES / _MIB
    written = sum(len(row[2]) for past in pasts for row in past) / _DIFFERENT
    return [
        value(f"a year of {_INSTANCES} instances, on disk", (after - before) / _MIB, "MiB").at_most(
            round(most)
        ),
        value("bytes of one instance-year, packed", written, "B"),
    ]


def _size(database: sqlite3.Connection) -> int:
    pages, size = (database.execute(f"PRAGMA {word}").fetchone()[0] for word in ("page_count", "page_size"))
    return int(pages) * int(size)


def _past(rng: random.Random, now_s: float) -> list[tuple[int, int, bytes]]:
    """Blocks of one that is busy by day, with noise in every value: little of it repeats."""
    rows = []
    for resolution in RESOLUTIONS:
        start = resolution.block_start(now_s - resolution.keep_s)
        # The newest quarter of an hour is being written by the sampler.
        end = FINE.block_start(now_s) if resolution is FINE else now_s
        while start < end:
            rows.append((resolution.step_s, start, _block(rng, resolution, start, now_s)))
            start += resolution.block_s
    return rows


def _block(rng: random.Random, resolution: Resolution, start_s: int, now_s: float) -> bytes:
    block = Block(resolution.points)
    for place in range(resolution.points):
        at_s = start_s + place * resolution.step_s
        if at_s < now_s:
            block.set(place, _point(rng, at_s))
    return block.pack()


def _point(rng: random.Random, at_s: float) -> Point:
    day = 1 + 0.8 * math.sin(at_s / 86400 * 2 * math.pi)
    usual = {
        "cpu_percent": 20 * day * rng.lognormvariate(0, 0.5),
        "memory_bytes": 8e8 + 2e8 * day + rng.gauss(0, 1e7),
        "network_rx_bytes_per_s": 2e5 * day * rng.lognormvariate(0, 1),
        "network_tx_bytes_per_s": 5e5 * day * rng.lognormvariate(0, 1),
        "disk_read_bytes_per_s": 1e4 * rng.lognormvariate(0, 2) if rng.random() < 0.5 else 0.0,
        "disk_write_bytes_per_s": 8e4 * day * rng.lognormvariate(0, 1),
    }
    share = {"avg": 1.0, "min": rng.uniform(0.3, 1), "max": rng.uniform(1, 4)}
    return tuple(usual[metric] * share[stat] if metric in usual else None for metric, stat in COLUMNS)
