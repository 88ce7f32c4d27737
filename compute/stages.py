"""When an operation came to which stage of its way, for the bench: which stage takes how long.

Nothing is noted unless the process was *started* with ``LIBGO_STAGES``, the path of a file that lines are
added to: ``<monotonic ns> <processor ns of the process> <pid> <stage> <operation>``. The clock is the
machine's, so times of several processes compare.
"""

from __future__ import annotations

import os
import time

_given = os.environ.get("LIBGO_STAGES")
_file = os.open(_given, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if _given else None


def stage(operation_id: object, name: str) -> None:
    """``operation_id`` has come to ``name``."""
    if _file is not None:
        line = f"{time.monotonic_ns()} {time.process_time_ns()} {os.getpid()} {name} {operation_id}\n"
        os.write(_file, line.encode())
