"""What a guest does for us through its agent: tells of itself, runs a command, reads and writes a file."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import libvirt

from compute.backends.types import ExecResult, ExecSpec
from compute.errors import (
    BackendError,
    ComputeError,
    InvalidInput,
    InvalidState,
    NotFound,
    OperationNotSupported,
    PayloadTooLarge,
)
from kvm.engine.agent import ANSWER_WITHIN_S, agent_call, field_of, interfaces_of, items_of
from kvm.engine.connection import Connection
from kvm.engine.domains import lookup, running_require

FILE_MAX = 1024 * 1024
_ALL_WITHIN_S = 15.0
# In one message to or from an agent: with a quarter of a megabyte one was seen to end.
_CHUNK = 48 * 1024
_POLL_FIRST_S, _POLL_MAX_S = 0.05, 0.5


def guest_info(connection: Connection, engine_id: str) -> dict[str, Any]:
    """``{agent{version}, hostname, os, timezone, time, interfaces[], filesystems[], users[]}``; what the
    agent does not offer is null. Raises ``InvalidState`` without an agent."""
    running_require(connection, engine_id)

    def method(conn: libvirt.virConnect) -> dict[str, Any]:
        domain, begun = lookup(conn, engine_id), time.monotonic()
        version = field_of(agent_call(domain, "guest-info"), "version")

        def ask(command: str) -> Any:
            if time.monotonic() - begun > _ALL_WITHIN_S:
                return None
            with contextlib.suppress(OperationNotSupported, BackendError, InvalidState):
                return agent_call(domain, command)
            return None

        return {
            "agent": {"version": version},
            "hostname": field_of(ask("guest-get-host-name"), "host-name"),
            "os": _os(ask("guest-get-osinfo")),
            "timezone": field_of(ask("guest-get-timezone"), "zone"),
            "time": _time(ask("guest-get-time")),
            "interfaces": interfaces_of(ask("guest-network-get-interfaces")),
            "filesystems": _filesystems(ask("guest-get-fsinfo")),
            "users": _users(ask("guest-get-users")),
        }

    return connection.call(method, _ALL_WITHIN_S + 2 * ANSWER_WITHIN_S)


async def exec_run(connection: Connection, engine_id: str, wanted: ExecSpec) -> ExecResult:
    """One command as the agent's own account, which is root almost everywhere. What outlasts its time is
    killed by its number; what it started besides may go on."""
    if wanted.user:
        raise InvalidInput.field("user", "cannot be chosen in a VM: its agent runs everything as itself.")
    begun = time.monotonic()
    pid = await asyncio.to_thread(_exec_begin, connection, engine_id, wanted)
    if isinstance(pid, ExecResult):
        return pid
    pause_s = _POLL_FIRST_S
    while True:
        status = await asyncio.to_thread(_exec_status, connection, engine_id, pid)
        is_over = bool(status.get("exited"))
        if is_over or time.monotonic() - begun > wanted.timeout_s:
            break
        await asyncio.sleep(pause_s)
        pause_s = min(_POLL_MAX_S, pause_s * 1.5)
    if not is_over:
        await asyncio.to_thread(_exec_kill, connection, engine_id, pid)
    stdout, cut_out = _output(status, "out", wanted.max_bytes)
    stderr, cut_err = _output(status, "err", wanted.max_bytes)
    code = status.get("exitcode", None)
    if not isinstance(code, int):
        signal = status.get("signal")
        code = 128 + signal if is_over and isinstance(signal, int) else None
    spent_ms = int((time.monotonic() - begun) * 1000)
    return ExecResult(code, stdout, stderr, not is_over, cut_out or cut_err, spent_ms)


def file_read(connection: Connection, engine_id: str, path: str) -> bytes:
    """A whole file of at most ``FILE_MAX``. Raises ``NotFound``, ``PayloadTooLarge``."""
    running_require(connection, engine_id)

    def method(conn: libvirt.virConnect) -> bytes:
        domain = lookup(conn, engine_id)
        with _opened(domain, path, "rb") as handle:
            data = b""
            while True:
                part = agent_call(domain, "guest-file-read", handle=handle, count=_CHUNK)
                data += _decoded(part, "buf-b64")
                if len(data) > FILE_MAX:
                    raise PayloadTooLarge(f"The file is larger than {FILE_MAX} bytes, which is the most.")
                if part.get("eof") or not part.get("count"):
                    return data

    return connection.call(method, _ALL_WITHIN_S * 2)


def file_write(connection: Connection, engine_id: str, path: str, data: bytes) -> None:
    """Create or replace a file. Raises ``NotFound`` for a folder that is not there."""
    running_require(connection, engine_id)

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        with _opened(domain, path, "wb") as handle:
            for start in range(0, len(data), _CHUNK):
                piece = base64.b64encode(data[start : start + _CHUNK]).decode()
                agent_call(domain, "guest-file-write", **{"handle": handle, "buf-b64": piece})
            agent_call(domain, "guest-file-flush", handle=handle)

    connection.call(method, _ALL_WITHIN_S * 2)


@contextlib.contextmanager
def _opened(domain: libvirt.virDomain, path: str, mode: str) -> Iterator[int]:
    try:
        handle = agent_call(domain, "guest-file-open", path=path, mode=mode)
    except BackendError as error:
        if "No such file" in error.message:
            raise NotFound(f"There is no {path[:200]} in the guest.", path=path[:200]) from error
        raise InvalidState(error.message, reason="guest_refused") from error
    if not isinstance(handle, int):
        raise BackendError("The guest agent answered with nonsense.")
    try:
        yield handle
    except BackendError as error:
        raise InvalidState(error.message, reason="guest_refused") from error
    finally:
        with contextlib.suppress(ComputeError, libvirt.libvirtError):
            agent_call(domain, "guest-file-close", handle=handle)


def _exec_begin(connection: Connection, engine_id: str, wanted: ExecSpec) -> int | ExecResult:
    running_require(connection, engine_id)
    program, *arguments = wanted.command
    if wanted.work_dir:
        script = 'cd -- "$1" && shift && exec "$@"'
        program, arguments = "/bin/sh", ["-c", script, "sh", wanted.work_dir, *wanted.command]
    asked: dict[str, Any] = {"path": program, "arg": arguments, "capture-output": True}
    if wanted.env:
        asked["env"] = [f"{key}={value}" for key, value in wanted.env.items()]
    try:
        started = connection.call(lambda conn: agent_call(lookup(conn, engine_id), "guest-exec", **asked))
    except BackendError as error:
        if "child process" not in error.message and "No such file" not in error.message:
            raise
        missing = "No such file" in error.message
        return ExecResult(127 if missing else 126, "", f"{error.message}\n", False, False, 0)
    pid = started.get("pid") if isinstance(started, dict) else None
    if not isinstance(pid, int):
        raise BackendError("The guest agent answered with nonsense.")
    return pid


def _exec_status(connection: Connection, engine_id: str, pid: int) -> dict[str, Any]:
    status = connection.call(
        lambda conn: agent_call(lookup(conn, engine_id), "guest-exec-status", pid=pid), _ALL_WITHIN_S
    )
    return status if isinstance(status, dict) else {}


def _exec_kill(connection: Connection, engine_id: str, pid: int) -> None:
    with contextlib.suppress(ComputeError):
        connection.call(
            lambda conn: agent_call(
                lookup(conn, engine_id), "guest-exec", path="kill", arg=["-KILL", str(pid)]
            )
        )


def _output(status: Mapping[str, Any], name: str, most: int) -> tuple[str, bool]:
    data = _decoded(status, f"{name}-data") if status.get(f"{name}-data") else b""
    is_cut = len(data) > most or bool(status.get(f"{name}-truncated"))
    text = data[:most].decode("utf-8", "replace")
    return (text + "\n[... output was dropped ...]\n" if is_cut else text), is_cut


def _decoded(answer: Any, name: str) -> bytes:
    try:
        return base64.b64decode(str(answer[name]), validate=True)
    except (binascii.Error, KeyError, TypeError, ValueError) as error:
        raise BackendError("The guest agent answered with nonsense.") from error


def _os(answer: Any) -> dict[str, Any] | None:
    if not isinstance(answer, dict):
        return None
    names = {
        "id": "id",
        "name": "name",
        "pretty_name": "pretty-name",
        "version": "version",
        "kernel": "kernel-release",
        "machine": "machine",
    }
    return {ours: field_of(answer, theirs) for ours, theirs in names.items()}


def _time(answer: Any) -> str | None:
    """Nanoseconds since 1970."""
    if not isinstance(answer, int):
        return None
    try:
        found = datetime.fromtimestamp(answer / 1e9, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return None
    return found.isoformat(timespec="seconds").replace("+00:00", "Z")


def _filesystems(answer: Any) -> list[dict[str, Any]] | None:
    if answer is None:
        return None
    found = []
    for item in items_of(answer):
        sizes = [item.get(name) for name in ("total-bytes", "used-bytes")]
        total, used = (size if isinstance(size, int) and 0 <= size < 2**62 else None for size in sizes)
        found.append(
            {
                "mountpoint": field_of(item, "mountpoint") or "",
                "type": field_of(item, "type") or "",
                "device": field_of(item, "name") or "",
                "total_bytes": total,
                "used_bytes": used,
            }
        )
    return found


def _users(answer: Any) -> list[dict[str, Any]] | None:
    if answer is None:
        return None
    found = []
    for item in items_of(answer):
        at = item.get("login-time")
        since = _time(int(at * 1e9)) if isinstance(at, (int, float)) and abs(at) < 1e11 else None
        found.append({"name": field_of(item, "user") or "", "logged_in_at": since})
    return found
