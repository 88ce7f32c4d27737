"""What handlers of this app share."""

from __future__ import annotations

from collections import deque
from typing import cast

from compute.backends.types import Reporter
from compute.execution.handlers import Work
from dockerapp.backend import DockerBackend

_LINES_MAX, _TAIL = 3000, 200


def docker(work: Work) -> DockerBackend:
    """The backend of the operation's node, with its facets."""
    return cast(DockerBackend, work.backend)


class BoundedLog:
    """Lines of something that may never stop talking: the first ones as they come, then the last ones
    when it is over."""

    def __init__(self, report: Reporter) -> None:
        self._report, self._count = report, 0
        self._tail: deque[str] = deque(maxlen=_TAIL)

    def __call__(self, line: str) -> None:
        self._count += 1
        if self._count <= _LINES_MAX:
            self._report.log(line)
        else:
            self._tail.append(line)

    def close(self) -> None:
        left_out = self._count - _LINES_MAX - len(self._tail)
        if left_out > 0:
            self._report.log(f"… {left_out} lines were left out here.")
        while self._tail:
            self._report.log(self._tail.popleft())
