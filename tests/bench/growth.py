"""How what one asks for most grows with the number of instances: 10 to 10,000 of the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.bench.figures import Row, interleaved, timed_ms, value
from tests.bench.plot import Plot
from tests.bench.processes import memory_mib
from tests.bench.run import Found, Site
from tests.bench.wire import Wire, api_wire, page_wire
from tests.fake_crowd import CrowdConsole

# Four nodes share them.
_COUNTS, _QUICK = (12, 100, 1000, 10_000), (12, 100)
_ROUNDS, _PAGE = 15, 500
_FIRST, _WHOLE = "first page of 50", "whole list"
_BULK_MOST = 1000


def growth(site: Site) -> Found:
    found: dict[str, dict[int, Row]] = {}
    for count in _QUICK if site.quick else _COUNTS:
        console = CrowdConsole(site.folder / f"crowd{count}", count)
        try:
            console.start()
            for name, row in _of(console, count, site.few(_ROUNDS)).items():
                found.setdefault(name, {})[count] = row
                yield _judged(name, count, found[name])
        finally:
            console.stop()
    yield _plot("growth", "Time of an answer by instances", "ms", found, lambda row: row.unit == "ms")
    yield _plot("growth-memory", "Memory by instances", "MiB", found, lambda row: row.unit == "MiB")


def _judged(name: str, count: int, rows: dict[int, Row]) -> Row:
    row = rows[count]
    if name == _FIRST and count == _COUNTS[-1] and 100 in rows:
        return row.at_most(round(1.2 * rows[100].p50, 2))
    return row


def _of(console: CrowdConsole, count: int, rounds: int) -> dict[str, Row]:
    api, page = api_wire(console), page_wire(console)
    first = partial(api.get, "/compute/instances?page_size=50")
    cases: dict[str, Callable[[], Any]] = {
        _WHOLE: partial(_whole, api, count),
        "search in names, addresses, labels": partial(api.get, "/compute/instances?q=web&page_size=50"),
        "list page of 50 lines": partial(page.get, "/instances?size=50"),
        "dashboard": partial(page.get, "/"),
    }
    rest = interleaved(cases, rounds if count < _COUNTS[-1] else max(3, rounds // 3))
    # By itself and the same number of times at each size, because it is judged.
    times = {**interleaved({_FIRST: first}, 2 * rounds), **rest}
    found = {name: _named(row, f"{count:,} instances: {name}") for name, row in times.items()}
    if count <= _BULK_MOST:
        body = {"action": "restart", "filter": {"state": "running"}}
        # Once: of a thousand it takes most of a minute.
        took_ms = timed_ms(partial(api.ask, "POST", "/compute/instances/bulk?wait=60", body))
        found["restart of all that run"] = value(
            f"{count:,} instances: restart of all that run", took_ms, "ms"
        )
    for name in ("web", "watcher"):
        what = f"{count:,} instances: memory of the {name} process"
        found[f"memory of {name}"] = value(what, memory_mib(console, name), "MiB")
    api.close()
    page.close()
    return found


def _whole(api: Wire, count: int) -> None:
    """Page by page, as many as one may ask for at once."""
    for number in range((count + _PAGE - 1) // _PAGE):
        api.get(f"/compute/instances?page_size={_PAGE}&page={number + 1}")


def _named(row: Row, what: str) -> Row:
    return Row(what, row.p50, row.p95, row.n, row.unit)


def _plot(
    name: str, title: str, up: str, found: dict[str, dict[int, Row]], fits: Callable[[Row], bool]
) -> Plot:
    lines = {
        what: tuple((float(count), row.p50) for count, row in rows.items())
        for what, rows in found.items()
        if all(fits(row) for row in rows.values())
    }
    return Plot(name, title, "instances", up, lines)
