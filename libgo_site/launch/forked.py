"""Python children made by forking a process that has loaded LibGo already.

They share the pages of what is loaded, which is most of their memory, and start without loading it again.
Whoever loads it must stay a process of one thread, without connections.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from typing import IO, NoReturn

_LOADED = (
    "libgo_site.asgi",
    "libgo_site.celery",
    "uvicorn.main",
    "uvicorn.loops.uvloop",
    "libgo_site.impatient",
    "uvicorn.protocols.websockets.websockets_impl",
    "celery.bin.celery",
    "celery.apps.worker",
    "celery.apps.beat",
    "celery.concurrency.thread",
    "redis.asyncio",
    "compute.watcher",
    "compute.management.commands.watch",
)
# All but the clock would load their libraries, 30 MiB, each for itself.
_ENGINES = ("docker", "kvm")
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_LOOK_S = 0.02


def preload() -> None:
    """Load what the children need. Raises whatever its modules raise."""
    for name in _LOADED:
        importlib.import_module(name)
    registry = importlib.import_module("compute.backends.registry")
    for name in _ENGINES:
        # One that is switched off or not installed is not loaded.
        registry.backend_problem(name)
    gc.collect()
    # What is there now is not looked at again: looking would write to every page.
    gc.freeze()


class Forked:
    """One child, with what the supervisor uses of ``subprocess.Popen``. ``words``: ``-m module argument…``
    or a script with its arguments."""

    def __init__(self, name: str, words: list[str], log: IO[bytes]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _child(name, words, log)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired([], timeout or 0)
            time.sleep(_LOOK_S)
        return code

    def terminate(self) -> None:
        self._tell(signal.SIGTERM)

    def kill(self) -> None:
        self._tell(signal.SIGKILL)

    def _tell(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _child(name: str, words: list[str], log: IO[bytes]) -> NoReturn:
    """Never returns into what the parent was doing."""
    code = 1
    try:
        _own_process(name, log)
        code = _main(words)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _own_process(name: str, log: IO[bytes]) -> None:
    """As one that was started: its own session, its own log, no handlers of the parent's."""
    os.setsid()
    die_with_parent()
    ctypes.CDLL(None).prctl(_PR_SET_NAME, f"libgo-{name}".encode())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for output in (1, 2):
        os.dup2(log.fileno(), output)


def _main(words: list[str]) -> int:
    """Run it to its end, with what an interpreter does then."""
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(words)
            runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        code = 130
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    return code


def die_with_parent() -> None:
    """Even if the supervisor is killed hard, its children go (Linux: prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
