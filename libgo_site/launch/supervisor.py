"""Keep LibGo's processes running: start, restart with growing pauses, stop all, leave nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from libgo_site.launch import state
from libgo_site.launch.broker import broker_command, broker_wait
from libgo_site.launch.forked import Forked, die_with_parent, preload

_BACK_OFF_FIRST_S, _BACK_OFF_MAX_S = 0.2, 10.0
_STABLE_AFTER_S = 20.0
_STOP_WITHIN_S = 12.0
_LOG_MAX_BYTES = 20 * 1024**2


@dataclass
class Child:
    """One process to keep: its command line and how it fared."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | Forked | None = None
    started_at: float = 0.0
    restarts: int = 0
    next_start: float = 0.0
    back_off_s: float = _BACK_OFF_FIRST_S


def pid_path() -> Path:
    return state.var() / "run" / "supervisor.pid"


def status_path() -> Path:
    return state.var() / "run" / "processes.json"


def children() -> list[Child]:
    """LibGo's processes, in the order of their start."""
    python, found = state.python(), []
    if state.has_own_broker():
        found.append(Child("broker", broker_command(state.var() / "run" / "broker.sock")))
    web = [
        python,
        "-m",
        "uvicorn",
        "libgo_site.asgi:application",
        "--host",
        state.host(),
        "--port",
        str(state.port()),
    ]
    web += [
        "--loop",
        "uvloop",
        "--http",
        "libgo_site.impatient:ImpatientProtocol",
        "--ws",
        "websockets",
        "--no-access-log",
        "--lifespan",
        "off",
    ]
    web += ["--ws-max-size", "1048576", "--timeout-graceful-shutdown", "3", "--no-server-header"]
    # Who asks is read from X-Forwarded-For only where a proxy is known to set it.
    behind = "127.0.0.1" if os.environ.get("LIBGO_BEHIND_TLS") == "1" else ""
    proxies = os.environ.get("LIBGO_TRUSTED_PROXIES") or behind
    web += ["--forwarded-allow-ips", proxies] if proxies else ["--no-proxy-headers"]
    # It costs a third of what a message does, and memory for each of a thousand sockets.
    web += ["--ws-per-message-deflate", "false"]
    celery = [python, "-m", "celery", "-A", "libgo_site.celery:app", "--quiet"]
    schedule = str(state.var() / "run" / "beat-schedule")
    pidfile = str(state.var() / "run" / "beat.pid")
    found += [
        Child("web", web),
        Child(
            "worker",
            [
                *celery,
                "worker",
                "-P",
                "threads",
                "-c",
                "16",
                "-Q",
                "libgo",
                "-n",
                "libgo@%h",
                "--without-mingle",
            ]
            + ["--without-gossip", "--loglevel", "INFO"],
        ),
        Child("watcher", [python, "manage.py", "watch"]),
        Child("beat", [*celery, "beat", "-s", schedule, "--pidfile", pidfile, "--loglevel", "WARNING"]),
    ]
    return found


class Supervisor:
    """Runs in the foreground until SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self._children = children()
        self._stopping = False

    def run(self) -> None:
        pid_path().write_text(str(os.getpid()))
        (state.var() / "run" / "beat.pid").unlink(missing_ok=True)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        try:
            self._start_all()
            self._write_status()
            while not self._stopping:
                if self._look_after():
                    self._write_status()
                time.sleep(0.1)
        finally:
            self._stop_all()
            pid_path().unlink(missing_ok=True)
            status_path().unlink(missing_ok=True)

    def _start_all(self) -> None:
        """The broker first; while it comes up, what all others share is loaded."""
        for child in self._children:
            if child.name == "broker":
                self._start(child)
        os.environ.update(state.environment())
        os.chdir(state.ROOT)
        preload()
        for child in self._children:
            if child.name == "broker":
                broker_wait(state.var() / "run" / "broker.sock")
            else:
                self._start(child)

    def _ask_to_stop(self, number: int, frame: object) -> None:
        self._stopping = True

    def _look_after(self) -> bool:
        """Notice the dead, start what is due; whether anything changed."""
        changed, now = False, time.monotonic()
        for child in self._children:
            if child.process is None:
                if now >= child.next_start:
                    child.restarts += 1
                    self._start(child)
                    changed = True
                continue
            code = child.process.poll()
            if code is None:
                continue
            if now - child.started_at > _STABLE_AFTER_S:
                child.back_off_s = _BACK_OFF_FIRST_S
            print(f"{child.name} {_end(code)}; starting it again in {child.back_off_s:g} s", flush=True)
            child.process, child.next_start = None, now + child.back_off_s
            child.back_off_s = min(child.back_off_s * 2, _BACK_OFF_MAX_S)
            changed = True
        return changed

    def _start(self, child: Child) -> None:
        if child.name == "beat":
            (state.var() / "run" / "beat.pid").unlink(missing_ok=True)
        log = _log_open(child.name)
        with log:
            if child.command[0] == state.python():
                child.process = Forked(child.name, child.command[1:], log)
            else:
                child.process = _started(child.command, log)
        child.started_at = time.monotonic()

    def _stop_all(self) -> None:
        """Politely, the broker last, then by force."""
        for names in (("beat", "watcher", "web", "worker"), ("broker",)):
            group = [child for child in self._children if child.name in names and child.process is not None]
            for child in group:
                assert child.process is not None
                if child.process.poll() is None:
                    child.process.terminate()
            deadline = time.monotonic() + _STOP_WITHIN_S
            for child in group:
                assert child.process is not None
                try:
                    child.process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()

    def _write_status(self) -> None:
        rows = [
            {
                "name": child.name,
                "pid": child.process.pid if child.process else None,
                "restarts": child.restarts,
            }
            for child in self._children
        ]
        temporary = status_path().with_suffix(".new")
        temporary.write_text(json.dumps({"supervisor": os.getpid(), "url": state.url(), "processes": rows}))
        temporary.replace(status_path())


def _end(code: int) -> str:
    """What became of it, for the log."""
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL, as the system does when memory runs out: see the kernel's log)"
    return f"ended with {code}"


def _started(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=state.ROOT,
        env=state.environment(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        # Its own group: Ctrl-C reaches only the supervisor, which stops them in order.
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  the supervisor has one thread
    )


def running_pid() -> int | None:
    """The supervisor of this var/, if it lives."""
    try:
        pid = int(pid_path().read_text())
    except (OSError, ValueError):
        return None
    return pid if is_supervisor(pid) else None


def is_supervisor(pid: int) -> bool:
    """Whether the process lives and is one of LibGo's."""
    try:
        return b"libgo_site.launch" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _log_open(name: str):  # type: ignore[no-untyped-def]
    path = state.var() / "logs" / f"{name}.log"
    if path.exists() and path.stat().st_size > _LOG_MAX_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
