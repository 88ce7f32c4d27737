"""Long work of a hypervisor on one domain: with its progress, and an end when it is not wanted any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import libvirt

from compute.backends.types import Reporter
from compute.errors import ComputeError
from kvm.engine.connection import Connection
from kvm.engine.domains import lookup

JOB_TIMEOUT_S = 3600.0
_LOOK_EVERY_S = 0.5
_TOTAL, _DONE = 3, 4


def job_run(
    connection: Connection,
    engine_id: str,
    work: Callable[[libvirt.virDomain], None],
    report: Reporter,
    step: str,
) -> None:
    """Carry out ``work``, telling how far it is; asked to cancel, the job is aborted and the domain
    stays as it was. Raises what ``work`` and ``Reporter.checkpoint`` raise."""
    failed: list[ComputeError] = []

    def run() -> None:
        try:
            connection.call(lambda conn: work(lookup(conn, engine_id)), JOB_TIMEOUT_S)
        except ComputeError as error:
            failed.append(error)

    thread = threading.Thread(target=run, name=f"job-{engine_id[:8]}", daemon=True)
    thread.start()
    try:
        seen = 0.0
        while thread.is_alive():
            seen = max(seen, _percent(connection, engine_id))
            report.progress(10 + 0.8 * seen, step)
            thread.join(_LOOK_EVERY_S)
    except ComputeError:
        _abort(connection, engine_id, thread)
        thread.join(connection.node.request_timeout_s)
        raise
    if failed:
        raise failed[0]


def _percent(connection: Connection, engine_id: str) -> float:
    def method(conn: libvirt.virConnect) -> float:
        info = lookup(conn, engine_id).jobInfo()
        return 100.0 * info[_DONE] / info[_TOTAL] if info[0] and info[_TOTAL] else 0.0

    try:
        return min(100.0, max(0.0, connection.call(method)))
    except ComputeError:
        # Between two jobs, or on drivers that tell nothing, there is no progress to show.
        return 0.0


def _abort(connection: Connection, engine_id: str, thread: threading.Thread) -> None:
    deadline = time.monotonic() + connection.node.request_timeout_s
    while thread.is_alive() and time.monotonic() < deadline:
        try:
            connection.call(lambda conn: lookup(conn, engine_id).abortJob())
            return
        except ComputeError:
            # The job has not begun yet, or is over.
            time.sleep(_LOOK_EVERY_S)
