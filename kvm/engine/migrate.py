"""Move a VM to another host, running or off, so that there is exactly one copy whatever happens.

LibGo connects to both hosts and leads libvirt's own protocol (https://libvirt.org/migration.html,
“managed direct”): the hosts need neither credentials for each other nor LibGo's. When this process
dies, both lose its connection, and each ends its half: the target drops what came in, the source goes
on. What is left to decide then, ``settle`` decides from what both sides show.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import libvirt

from compute.backends.types import MigrateOutcome, MigratePlan, MigrateSpec, Reporter
from compute.errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ComputeError,
    OperationInterrupted,
)
from kvm.engine.address import is_loopback
from kvm.engine.connection import Connection
from kvm.engine.domains import lookup
from kvm.engine.errors import libvirt_error
from kvm.engine.migrate_check import Move, checks
from kvm.engine.remove import destroy, logs_remove, remove

_PLAN_TIMEOUT_S, _SETTLE_TIMEOUT_S, _ABORT_TIMEOUT_S = 60.0, 60.0, 60.0
_LOOK_EVERY_S = 0.5
# A new sentence is a line in the operation's log.
_TELL_EVERY_S = 3.0
# How long a target may take to drop by itself what was coming in.
_DROP_S = 6.0
_MIB = 1024**2


def migrate_plan(source: Connection, target: Connection, engine_id: str, wanted: MigrateSpec) -> MigratePlan:
    """All checks; a check may write and remove a file of a few bytes on the storage of the source."""

    def method(conn: libvirt.virConnect) -> MigratePlan:
        domain = lookup(conn, engine_id)
        live = bool(domain.isActive())
        move = Move(domain, conn, target.open(), target.node.name, live)
        ref = {
            "live": live,
            "paused": live and domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED,
            "autostart": bool(domain.autostart()),
            "name": domain.name(),
            "max_bytes_per_s": wanted.max_bytes_per_s,
        }
        return MigratePlan(tuple(checks(move)), ref)

    return source.call(method, _PLAN_TIMEOUT_S)


def migrate(
    source: Connection, target: Connection, engine_id: str, plan: Mapping[str, Any], report: Reporter
) -> None:
    """See ``Backend.instance_migrate``."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="libvirt-migrate")
    with source.apart() as here, target.apart() as there:
        domain = lookup(here, engine_id)
        future = pool.submit(_start, domain, there, plan, _data_address(source, target))
        pool.shutdown(wait=False)
        try:
            _watch(domain, future, plan, report)
        except OperationInterrupted:
            # Whoever took over decides; this process only lets go.
            _abort(domain, future)
            raise
        except ComputeError:
            if not _abort(domain, future):
                raise
        moved = future.result()
        moved.setAutostart(int(plan["autostart"]))
    _tidy(source, target, engine_id, plan)


def _start(
    domain: libvirt.virDomain, there: libvirt.virConnect, plan: Mapping[str, Any], address: str
) -> libvirt.virDomain:
    """Blocks until the VM is there. UNSAFE, because libvirt only trusts network file systems by their
    kind; the plan has proved that the disks are the same files."""
    flags = (
        libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE | libvirt.VIR_MIGRATE_UNSAFE
    )
    params: dict[str, Any] = {}
    if not plan["live"]:
        return domain.migrate3(there, params, flags | libvirt.VIR_MIGRATE_OFFLINE)
    flags |= libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_ABORT_ON_ERROR | libvirt.VIR_MIGRATE_AUTO_CONVERGE
    if address:
        params[libvirt.VIR_MIGRATE_PARAM_URI] = address
    if plan["max_bytes_per_s"]:
        params[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = max(1, plan["max_bytes_per_s"] // _MIB)
    return domain.migrate3(there, params, flags)


def _data_address(source: Connection, target: Connection) -> str:
    """Where the source's emulator sends the memory: the name under which LibGo knows the target. Without
    one libvirt asks the target for its host name."""
    host = urlsplit(target.node.url).hostname or str(target.node.options.get("migration_host") or "")
    if not host and is_loopback(urlsplit(source.node.url).hostname or ""):
        host = "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"tcp://{shown}" if host else ""


def _watch(
    domain: libvirt.virDomain,
    future: Future[libvirt.virDomain],
    plan: Mapping[str, Any],
    report: Reporter,
) -> None:
    """Tell how far it is until it ended, well or badly."""
    report.progress(20, "Moving it" if not plan["live"] else "Preparing the target")
    told, told_at = "", 0.0
    while not wait([future], timeout=_LOOK_EVERY_S).done:
        stats: dict[str, Any] = {}
        with contextlib.suppress(libvirt.libvirtError):
            stats = domain.jobStats()
        total, rest = stats.get("memory_total", 0), stats.get("memory_remaining", 0)
        if not total:
            report.checkpoint()
            continue
        if time.monotonic() - told_at > _TELL_EVERY_S:
            speed, told_at = stats.get("memory_bps", 0) / _MIB, time.monotonic()
            gone, whole = (total - rest) / _MIB, total / _MIB
            told = f"Moving its memory: {gone:,.0f} of {whole:,.0f} MiB, {speed:,.0f} MiB/s"
        report.progress(20 + 70 * (total - rest) / total, told)
    error = future.exception()
    if isinstance(error, libvirt.libvirtError):
        raise libvirt_error(error, "the hosts") from error


def _abort(domain: libvirt.virDomain, future: Future[libvirt.virDomain]) -> bool:
    """Whether it was too late, and the VM has moved. Raises ``BackendTimeout`` when libvirt does not let
    go; the caller's connections are closed then, which is the end of it too."""
    with contextlib.suppress(libvirt.libvirtError):
        domain.abortJob()
    if wait([future], timeout=_ABORT_TIMEOUT_S).not_done:
        raise BackendTimeout("libvirt did not stop the migration in time.")
    return future.exception() is None


@dataclass(frozen=True)
class _Side:
    """What one host shows of the VM."""

    exists: bool = False
    active: bool = False
    paused: bool = False
    persistent: bool = False


def settle(source: Connection, target: Connection, engine_id: str, plan: Mapping[str, Any]) -> MigrateOutcome:
    """See ``Backend.migrate_settle``. Of two copies the one runs that libvirt let run: it starts the
    target's only after all memory is there, and lets the source's go on only when it knows that the
    target's never started."""
    source.settle()
    here = _side(source, engine_id, stop_job=True)
    there = _side(target, engine_id)
    if here is None and there is None:
        raise _undecided(source, target)
    if there is None:
        return _without_target(source, engine_id, here, plan)
    if _has_landed(there, here, plan):
        return _keep_there(source, target, engine_id, here, plan)
    if here is None or not here.exists:
        if here is None or there.exists:
            raise _undecided(source, target)
        return MigrateOutcome(moved=False)
    _keep_here(source, target, engine_id, here, plan)
    return MigrateOutcome(moved=False)


def _has_landed(there: _Side, here: _Side | None, plan: Mapping[str, Any]) -> bool:
    """libvirt makes it persistent on the target as the last step before it runs there."""
    if not there.persistent:
        return False
    if plan["live"] and there.active:
        return not there.paused or plan["paused"]
    # One that is off: it was moved while off, or went off after it had moved.
    return here is not None and not here.exists


def _without_target(
    source: Connection, engine_id: str, here: _Side | None, plan: Mapping[str, Any]
) -> MigrateOutcome:
    """The target is silent. A VM that runs here was never let go; one that waits here may run there."""
    is_ours = here is not None and here.exists and not (here.paused and not plan["paused"])
    if not is_ours or (plan["live"] and here is not None and not here.active):
        raise BackendUnavailable(
            "The target does not answer, so it is not known whether the machine runs there. It is left as "
            "it is until the target is back."
        )
    return MigrateOutcome(moved=False)


def _keep_there(
    source: Connection, target: Connection, engine_id: str, here: _Side | None, plan: Mapping[str, Any]
) -> MigrateOutcome:
    if here is not None and here.active and not here.paused:
        raise BackendError("The machine runs on both hosts. Stop one of them by hand, then look again.")

    def finish(conn: libvirt.virConnect) -> None:
        lookup(conn, engine_id).setAutostart(int(plan["autostart"]))

    target.call(finish)
    if here is None:
        return MigrateOutcome(moved=True, complete=False)
    if here.exists:
        source.call(lambda conn: remove(lookup(conn, engine_id)), _SETTLE_TIMEOUT_S)
    _tidy(source, target, engine_id, plan)
    return MigrateOutcome(moved=True)


def _keep_here(
    source: Connection, target: Connection, engine_id: str, here: _Side, plan: Mapping[str, Any]
) -> None:
    """First nothing may be left on the target that could still start, then it goes on here."""
    deadline = time.monotonic() + _DROP_S
    while (side := _side(target, engine_id)) and side.exists and not side.persistent:
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_EVERY_S)
    if side is None:
        raise _undecided(source, target)
    if side.exists:
        target.call(lambda conn: _drop(lookup(conn, engine_id)), _SETTLE_TIMEOUT_S)
    if plan["live"] and here.paused and not plan["paused"]:
        source.call(lambda conn: lookup(conn, engine_id).resume(), _SETTLE_TIMEOUT_S)


def _drop(domain: libvirt.virDomain) -> None:
    destroy(domain)
    with contextlib.suppress(libvirt.libvirtError):
        # A transient one is gone by now.
        domain.undefine()


def _side(connection: Connection, engine_id: str, *, stop_job: bool = False) -> _Side | None:
    """None when the host does not answer. ``stop_job``: a migration that is still under way is ended."""

    def method(conn: libvirt.virConnect) -> _Side:
        try:
            domain = lookup(conn, engine_id)
            if stop_job:
                _job_stop(domain)
            state = domain.state()[0]
            active, persistent = bool(domain.isActive()), bool(domain.isPersistent())
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return _Side()
            raise
        return _Side(True, active, active and state == libvirt.VIR_DOMAIN_PAUSED, persistent)

    try:
        return connection.call(method, _SETTLE_TIMEOUT_S)
    except (BackendUnavailable, BackendTimeout):
        return None


def _job_stop(domain: libvirt.virDomain) -> None:
    deadline = time.monotonic() + _ABORT_TIMEOUT_S / 2
    while domain.isActive() and domain.jobInfo()[0] not in (
        libvirt.VIR_DOMAIN_JOB_NONE,
        libvirt.VIR_DOMAIN_JOB_COMPLETED,
    ):
        with contextlib.suppress(libvirt.libvirtError):
            domain.abortJob()
        if time.monotonic() > deadline:
            raise BackendTimeout("libvirt did not stop the migration in time.")
        time.sleep(_LOOK_EVERY_S)


def _tidy(source: Connection, target: Connection, engine_id: str, plan: Mapping[str, Any]) -> None:
    """What only the old host had, and what the new one has to see."""
    if source.is_local:
        logs_remove(engine_id, str(plan["name"]))

    def look(conn: libvirt.virConnect) -> None:
        for pool in conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
            with contextlib.suppress(libvirt.libvirtError):
                # One that is busy finds out by itself.
                pool.refresh(0)

    with contextlib.suppress(BackendUnavailable, BackendTimeout):
        target.call(look)


def _undecided(source: Connection, target: Connection) -> BackendUnavailable:
    return BackendUnavailable(
        f"{source.node.name} or {target.node.name} does not answer, so it is not known on which of them the "
        "machine is. It is settled as soon as both do."
    )
