"""What containers wrote into their own layers.

The engine walks all their files to tell, so it is asked seldom, by a thread of its own, and never so often
that this takes more than a twentieth of the time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from compute.errors import ComputeError

_SHARE = 20


class LayerSizes:
    """``ask`` gives bytes by engine id; ``every_s`` lies between the end of a look and the next at least."""

    def __init__(self, ask: Callable[[], dict[str, int]], every_s: float) -> None:
        self._ask, self._every_s = ask, every_s
        self._lock = threading.Lock()
        self._next_at = 0.0
        self._is_asking = False
        self._known: Mapping[str, int] = {}

    def known(self) -> Mapping[str, int]:
        """What the last look saw, at once; begins another one when it is time."""
        with self._lock:
            is_due = not self._is_asking and time.monotonic() >= self._next_at
            self._is_asking = self._is_asking or is_due
        if is_due:
            threading.Thread(target=self._look, name="layer-sizes", daemon=True).start()
        return self._known

    def _look(self) -> None:
        began = time.monotonic()
        try:
            self._known = self._ask()
        except ComputeError:
            # It is asked again; what is not known is not shown.
            self._known = {}
        finally:
            # Whatever went wrong in it, the next look must come.
            ended = time.monotonic()
            with self._lock:
                self._next_at = ended + max(self._every_s, _SHARE * (ended - began))
                self._is_asking = False
