"""What LibGo adds to the life of a container and of a machine, to an exec, a pull and a build."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.figures import Row, difference, row, timed_ms
from tests.bench.machines import defined
from tests.bench.run import Found, Site
from tests.bench.stages import Stages
from tests.bench.streams import container
from tests.bench.wire import Wire, api_wire, created, engine_wire
from tests.dockerapp.conftest import registry_serve
from tests.live import until

# An engine's start takes 200 ms give or take 25: of twenty, medians differ by 10 ms without any cause.
_LIFECYCLE_ROUNDS, _ROUNDS, _MACHINE_ROUNDS, _IMAGE_ROUNDS = 40, 20, 24, 5
_ADDS_MS = 30
_SHOWN = "pause"
_DEMO = "libgo/demo:latest"
# What LibGo does, and the same by the engine.
Pairs = Mapping[str, tuple[Callable[[], Any], Callable[[], Any]]]


def lifecycle(site: Site) -> Found:
    """Containers: each verb with ``wait``, so an answer means that it is done."""
    api, engine = api_wire(site.console), engine_wire()
    stages = Stages(api, site.notes)
    ours, theirs = (site.name() for _ in range(2))
    path, twin = f"/compute/instances/{ours}", f"/containers/{theirs}"
    body = {
        "name": ours,
        "backend": "docker",
        "config": {"image": _DEMO, "network_mode": "none"},
        "auto_start": False,
    }
    pairs: Pairs = {
        "create": (
            lambda: stages.ask("create", "POST", "/compute/instances?wait=30", body),
            lambda: created(engine, theirs),
        ),
        "start": (
            lambda: stages.ask("start", "PUT", f"{path}/start?wait=30"),
            lambda: engine.ask("POST", f"{twin}/start"),
        ),
        "pause": (
            lambda: stages.ask("pause", "PUT", f"{path}/pause?wait=30"),
            lambda: engine.ask("POST", f"{twin}/pause"),
        ),
        "unpause": (
            lambda: stages.ask("unpause", "PUT", f"{path}/unpause?wait=30"),
            lambda: engine.ask("POST", f"{twin}/unpause"),
        ),
        "stop": (
            lambda: stages.ask("stop", "PUT", f"{path}/stop?wait=30", {"force": True}),
            lambda: engine.ask("POST", f"{twin}/kill"),
        ),
        "delete": (
            lambda: stages.ask("delete", "DELETE", f"{path}?force=true&wait=30"),
            lambda: engine.ask("DELETE", f"{twin}?force=true"),
        ),
    }
    try:
        yield from _profiled(pairs, "a container", "Docker engine", site.few(_LIFECYCLE_ROUNDS), stages)
    finally:
        _gone(api, engine, path, twin)


def machine_lifecycle(site: Site) -> Found:
    """Machines without a disk: what libvirt itself takes is short, so that what is added shows."""
    with defined(site.name()) as mine, defined(site.name()) as twin, closing(api_wire(site.console)) as api:
        path, stages = f"/compute/instances/{mine.name()}", Stages(api, site.notes)
        theirs = {"start": twin.create, "pause": twin.suspend, "unpause": twin.resume, "stop": twin.destroy}
        options = {"stop": {"force": True}}
        pairs: Pairs = {
            verb: (partial(stages.ask, verb, "PUT", f"{path}/{verb}?wait=30", options.get(verb)), their)
            for verb, their in theirs.items()
        }
        until(lambda: site.console.shown(mine.name()), "LibGo has seen it", 30)
        yield from _profiled(pairs, "a machine", "libvirt", site.few(_MACHINE_ROUNDS), stages)


def execs(site: Site) -> Found:
    """``true`` in a container: its exit code by the API, and by the engine's four calls."""
    api, engine = api_wire(site.console), engine_wire()
    with container(site, "sleep 600") as name:

        def by_the_engine() -> None:
            body = {"Cmd": ["true"], "AttachStdout": True, "AttachStderr": True}
            made = engine.json("POST", f"/containers/{name}/exec", body)["Id"]
            engine.ask("POST", f"/exec/{made}/start", {"Detach": False, "Tty": False})
            assert engine.json("GET", f"/exec/{made}/json")["ExitCode"] == 0

        def by_libgo() -> None:
            found = api.json("POST", f"/compute/instances/{name}/exec", {"command": ["true"]})
            assert found["exit_code"] == 0

        pairs: Pairs = {"exec": (by_libgo, by_the_engine)}
        yield from _beside(pairs, "a command", "Docker engine", site.few(_ROUNDS), _ADDS_MS)
    api.close()


def images(site: Site) -> Found:
    """A pull of 8 MB from a registry beside, and a build of two steps without cache."""
    api, engine = api_wire(site.console), engine_wire()
    context, mark = _context(), site.name()
    with (
        tempfile.TemporaryDirectory(dir=site.folder) as folder,
        registry_serve(Path(folder)) as registry,
    ):
        name = f"{registry}/demo:{mark}"
        built = f"default/{mark}"
        tar = {"Content-Type": "application/x-tar"}
        with _pushed(engine, registry, mark):
            pulls: Pairs = {
                "pull": (
                    lambda: api.ask("POST", "/docker/images/pull?wait=60", {"image": name}),
                    lambda: engine.ask("POST", f"/images/create?fromImage={registry}/demo&tag={mark}"),
                ),
            }
            rounds = site.few(_IMAGE_ROUNDS)
            after = partial(engine.ask, "DELETE", f"/images/{name}?force=true")
            yield from _beside(pulls, "an image", "Docker engine", rounds, None, after)
        builds: Pairs = {
            "build": (
                lambda: api.ask(
                    "POST", f"/docker/images/build?wait=60&no_cache=true&tag={built}", context, **tar
                ),
                lambda: engine.ask("POST", f"/build?nocache=1&t={built}", context, **tar),
            ),
        }
        try:
            yield from _beside(builds, "an image", "Docker engine", rounds, None)
        finally:
            engine.ask("DELETE", f"/images/{built}?force=true")
    api.close()


def _profiled(pairs: Pairs, noun: str, engine: str, rounds: int, stages: Stages) -> Iterator[Row]:
    """``_beside``, with where the time goes: of one verb always, and of each that takes too long."""
    for found in _beside(pairs, noun, engine, rounds, _ADDS_MS):
        yield found
        verb = found.what.removeprefix("what LibGo adds to “").partition(" ")[0]
        if found.is_met is not None and (verb == _SHOWN or not found.is_met):
            yield from stages.rows(verb, noun)


def _beside(
    pairs: Pairs,
    noun: str,
    engine: str,
    rounds: int,
    adds_ms: float | None,
    after: Callable[[], Any] = lambda: None,
) -> Iterator[Row]:
    """Each verb by both, who goes first in turn, for each meets what the one before it left to be done; what
    LibGo adds to it. ``after`` puts things back and is not timed."""
    times: dict[str, tuple[list[float], list[float]]] = {verb: ([], []) for verb in pairs}
    for number in range(rounds + 1):
        for verb, both in pairs.items():
            for kept, case in list(zip(times[verb], both, strict=True))[:: 1 if number % 2 else -1]:
                took_ms = timed_ms(case)
                after()
                if number:
                    kept.append(took_ms)
    for verb, (mine, theirs) in times.items():
        own = row(f"{engine}: {verb} {noun}", theirs)
        ours = row(f"LibGo: {verb} {noun}, to its end", mine).beside(own)
        added = difference(f"what LibGo adds to “{verb} {noun}”", ours, own)
        yield own
        yield ours
        yield added if adds_ms is None else added.at_most(adds_ms)


def _context(word: bytes = b"word") -> bytes:
    """A Dockerfile as tar: a copy and a command upon the demo image."""
    data = io.BytesIO()
    files = {"Dockerfile": f"FROM {_DEMO}\nCOPY word /word\nRUN true\n".encode(), "word": word}
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return data.getvalue()


@contextmanager
def _pushed(engine: Wire, registry: str, tag: str) -> Iterator[None]:
    """The demo image with a layer of eight megabytes more lies in the registry, and nowhere else."""
    name, tar = f"{registry}/demo:{tag}", {"Content-Type": "application/x-tar"}
    engine.ask("POST", f"/build?t={name}", _context(os.urandom(8_000_000)), **tar)
    engine.ask("POST", f"/images/{registry}/demo/push?tag={tag}", **{"X-Registry-Auth": "e30="})
    engine.ask("DELETE", f"/images/{name}?force=true")
    yield


def _gone(api: Wire, engine: Wire, path: str, twin: str) -> None:
    for wire, where in ((api, f"{path}?force=true&wait=30"), (engine, f"{twin}?force=true")):
        try:
            wire.ask("DELETE", where)
        except AssertionError as error:
            assert " 404 " in str(error), error
        wire.close()
