"""Lists and reads of 300 containers, beside the engine's own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from libgo_site.launch import state
from tests.bench.figures import Row, interleaved, value
from tests.bench.run import Found, Site
from tests.bench.wire import Wire, api_wire, cpu_s, created, engine_wire, page_wire
from tests.live import ROOT, until

_COUNT, _ROUNDS = 300, 30
_CPU_TIMES = 60
_ENGINE = f"Docker engine: list of {_COUNT} containers"
_WHOLE = f"LibGo: list of {_COUNT} instances, all fields"
_KNOWN = f"LibGo: the same by who has it already (If-None-Match): all but the {_COUNT} on their way"
_INSPECT, _ONE = "Docker engine: one container", "LibGo: one instance"


def lists(site: Site) -> Found:
    engine = engine_wire()
    with _many(site, engine) as (label, one, engine_id):
        api, page = api_wire(site.console), page_wire(site.console)
        whole = f"/compute/instances?page_size=500&label={label}"
        cases = {
            _ENGINE: partial(engine.get, f"/containers/json?all=1&filters={_filter(label)}"),
            _WHOLE: partial(api.get, whole),
            _KNOWN: partial(api.ask, "GET", whole, **{"If-None-Match": "*"}),
            f"LibGo: list of {_COUNT}, fields=id,name,state": partial(
                api.get, f"{whole}&fields=id,name,state"
            ),
            "LibGo: first page of 50": partial(api.get, f"/compute/instances?page_size=50&label={label}"),
            _INSPECT: partial(engine.get, f"/containers/{engine_id}/json"),
            _ONE: partial(api.get, f"/compute/instances/{one}"),
            "LibGo: dashboard": partial(page.get, "/"),
            "LibGo: list page of 50 lines": partial(page.get, "/instances?size=50"),
        }
        found = interleaved(cases, site.few(_ROUNDS))
        found[_WHOLE] = found[_WHOLE].beside(found[_ENGINE]).at_most(0.3, "ratio")
        found[_ONE] = found[_ONE].beside(found[_INSPECT])
        yield from found.values()
        for wire in (api, page):
            wire.close()
        yield from _costs(site, label, one, is_met=bool(found[_WHOLE].is_met))
    engine.close()


def _costs(site: Site, label: str, one: str, *, is_met: bool) -> Iterator[Row]:
    """Queries and processor time of a request, inside LibGo and in the web process; where the time goes
    of what takes longer than wanted; of the whole list, unless that ``is_met``."""
    whole = f"/api/v1/compute/instances?page_size=500&label={label}"
    paths = {
        f"list of {_COUNT}": whole,
        "first page of 50": f"/api/v1/compute/instances?page_size=50&label={label}",
        "one instance": f"/api/v1/compute/instances/{one}",
        "dashboard": "/",
        "list page of 50 lines": "/instances?size=50",
    }
    command = [state.python(), "-m", "tests.bench.inside", *paths.values()]
    done = subprocess.run(
        command, cwd=ROOT, env=site.console.environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-600:]
    inside = json.loads(done.stdout.strip().splitlines()[-1])
    for name, path in paths.items():
        cost = inside[path]
        row = Row(f"{name}: server time (no network, no ASGI)", cost["ms"], cost["p95"], 60)
        judged = row.at_most(3) if name == "one instance" else row
        yield judged
        if judged.is_met is False or (path == whole and not is_met):
            for part, spent_ms in sorted(cost["parts"].items(), key=lambda item: -item[1]):
                yield value(f"… {name}: {part}", spent_ms, "ms")
        yield value(f"{name}: queries", cost["queries"], "")
        yield value(f"{name}: processor time of a request, in the web process", _cpu_ms(site, path), "ms")


def _cpu_ms(site: Site, path: str) -> float:
    wire = page_wire(site.console)
    wire.get(path)
    began = cpu_s(site)
    times = site.few(_CPU_TIMES)
    for _ in range(times):
        wire.get(path)
    wire.close()
    return (cpu_s(site) - began) * 1000 / times


@contextmanager
def _many(site: Site, engine: Wire) -> Iterator[tuple[str, str, str]]:
    """A label that all of them bear; the id of one, and its id in the engine."""
    mark, made = site.name(), []
    label = f"libgo.bench={mark}"
    labels = {"libgo.test": "bench", "libgo.bench": mark}
    try:
        for number in range(_COUNT):
            made.append(created(engine, f"{mark}-{number}", Labels=labels))
        path = f"/compute/instances?page_size=1&label={label}"
        until(lambda: site.console.get(path)["total"] == _COUNT, "the mirror has them all", 60)
        one = site.console.shown(f"{mark}-7")
        assert one is not None
        yield label, one["id"], made[7]
    finally:
        for engine_id in made:
            engine.ask("DELETE", f"/containers/{engine_id}?force=true")


def _filter(label: str) -> str:
    return "%7B%22label%22%3A%5B%22" + label.replace("=", "%3D") + "%22%5D%7D"
