"""One part of the bench after the other: each with a limit of its own, and none ends the others."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.bench.figures import Row, noise
from tests.bench.place import name_of
from tests.bench.plot import Plot
from tests.demo_images import demo_images_lock, demo_images_make
from tests.live import LiveConsole

# What came is kept, whatever ends the part.
Found = Iterator[Row | Plot]


class Site:
    """What the parts share: a whole console over the machine's engines, started when first asked for."""

    def __init__(self, folder: Path, mark: str, *, quick: bool) -> None:
        self.folder, self.mark, self.quick = folder, mark, quick
        self.engine = DockerBackend(NodeConfig("bench", "bench", "docker", "unix:///var/run/docker.sock"))
        self._console: LiveConsole | None = None
        self._started = 0

    @property
    def console(self) -> LiveConsole:
        if self._console is None:
            self._started += 1
            self._console = LiveConsole(self.folder / f"var{self._started}", LIBGO_STAGES=str(self.notes))
            self._console.start()
        return self._console

    @property
    def notes(self) -> Path:
        """Where the processes of the console note the stages of their operations."""
        return self.folder / f"stages{self._started}"

    def name(self) -> str:
        """For something that this run makes."""
        return name_of(self.mark)

    def few(self, rounds: int) -> int:
        """So many, or with ``--quick`` hardly any."""
        return max(2, rounds // 8) if self.quick else rounds

    def renew(self) -> None:
        """The next part gets another console: this one may have been left in the middle of something."""
        if self._console is not None:
            self._console.stop()
            self._console = None

    def close(self) -> None:
        self.renew()
        self.engine.close()


@dataclass(frozen=True)
class Part:
    """``limit_s``: it is ended then, and says so in the table. ``notes``: what to know about the figures."""

    name: str
    title: str
    measure: Callable[[Site], Found]
    limit_s: float
    notes: str = ""
    # Its start is in no part's time.
    needs_console: bool = True


@dataclass
class Result:
    """What came of a part; ``error`` is empty when it came to its end."""

    name: str
    rows: list[Row] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    error: str = ""
    took_s: float = 0.0
    noise: list[Row] = field(default_factory=list)
    load: float = 0.0
    at: str = ""
    # When the whole run began that it is of.
    run: str = ""

    def plain(self) -> dict[str, Any]:
        kept = {name: vars(self)[name] for name in ("name", "error", "took_s", "load", "at", "run")}
        rows, loud = ([each.plain() for each in found] for found in (self.rows, self.noise))
        return {**kept, "rows": rows, "noise": loud, "plots": [each.plain() for each in self.plots]}

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Result:
        rows, loud = ([Row(**each) for each in kept[name]] for name in ("rows", "noise"))
        plots = [Plot.of(each) for each in kept["plots"]]
        return cls(**{**kept, "rows": rows, "noise": loud, "plots": plots})


class OutOfTime(BaseException):
    """No handler of errors takes it for one of its own."""


def part_run(part: Part, site: Site, told: Callable[[Row], None]) -> Result:
    """Measure it; ``told`` hears each figure as it comes."""
    result = Result(part.name, at=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M"))
    result.load, began = os.getloadavg()[0], time.monotonic()
    try:
        if part.needs_console:
            assert site.console
            # Before each part: a test run that ends takes away those that it made.
            with demo_images_lock():
                demo_images_make()
        result.noise.append(noise("before"))
        with _limited(part.limit_s):
            for found in part.measure(site):
                if isinstance(found, Plot):
                    result.plots.append(found)
                else:
                    result.rows.append(found)
                    told(found)
    except OutOfTime:
        traceback.print_exc()
        result.error = f"ended after its {part.limit_s:.0f} s"
    except Exception as error:
        traceback.print_exc()
        result.error = f"{type(error).__name__}: {error}"[:300]
    if result.error:
        site.renew()
    result.noise.append(noise("after"))
    result.took_s = round(time.monotonic() - began, 1)
    return result


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def over(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, over)
    # Again and again: what tidies up may hang as well.
    signal.setitimer(signal.ITIMER_REAL, seconds, 30)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
