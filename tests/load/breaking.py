"""What goes wrong meanwhile: engines and processes of LibGo die, hang and forget."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

from tests.live import until
from tests.load.place import Place


class Breaking:
    """Carries out the plan; ``done``: what was done when, and what it took until it was whole again."""

    def __init__(self, place: Place, plan: list[tuple[float, str]], over: threading.Event) -> None:
        self.name = "breaking"
        self._place, self._plan, self._over = place, plan, over
        self.done: list[tuple[float, str, float]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        began = time.monotonic()
        try:
            for at_s, kind in self._plan:
                if self._over.wait(max(0.0, at_s - (time.monotonic() - began))):
                    return
                started = time.monotonic()
                self._break(kind)
                self.done.append((started - began, kind, time.monotonic() - started))
        except BaseException as error:
            self.error = error

    def _break(self, kind: str) -> None:
        place, word = self._place, kind.partition(" ")[0]
        if kind == "engine killed and started":
            place.engine.kill()
            time.sleep(0.5)
            place.engine.start()
        elif kind == "engine frozen for 3 s":
            os.kill(place.engine.pid, signal.SIGSTOP)
            time.sleep(3)
            os.kill(place.engine.pid, signal.SIGCONT)
        elif kind == "libvirt killed and started":
            place.host.kill(guests=False)
            place.host.start()
        elif kind == "broker flushed":
            place.broker.flushall()
        else:
            self._kill(word)

    def _kill(self, name: str) -> None:
        """A process of LibGo; the supervisor starts it again."""
        console, before = self._place.console, 0
        with contextlib.suppress(StopIteration, OSError):
            before = console.pid(name)
            console.kill(name)
        until(lambda: console.pid(name) not in (0, before), f"{name} is back", 30)
