"""One libvirt connection per node and process, with deadlines that libvirt itself does not have.

Calls run on a small pool of threads of the node, so a daemon that hangs keeps only its own callers
waiting, and them only until their deadline. A lost connection is dropped and opened anew by the
next call.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Generic, TypeVar

import libvirt

from compute.backends.turnstile import engine_waited_for
from compute.backends.types import NodeConfig
from compute.errors import BackendTimeout, BackendUnavailable
from kvm.engine.errors import is_connection_lost, libvirt_error, open_error
from kvm.engine.transport import HANDSHAKE_S, connect_address, explain, unavailable

T = TypeVar("T")
_THREADS = 12
# Interval in seconds, and count: a silent daemon is given up after (count + 1) * interval.
_KEEPALIVE, _KEEPALIVE_PATIENT = (1, 2), (5, 5)

_loop_lock = threading.Lock()
_loop_started = False


def event_loop_ensure() -> None:
    """libvirt's event loop: registered before the first connection, run by one thread."""
    global _loop_started
    with _loop_lock:
        if _loop_started:
            return
        libvirt.registerErrorHandler(lambda context, error: None, None)
        libvirt.virEventRegisterDefaultImpl()

        def run() -> None:
            while True:
                libvirt.virEventRunDefaultImpl()

        threading.Thread(target=run, name="libvirt-events", daemon=True).start()
        _loop_started = True


class Running(Generic[T]):
    """A call that goes on in its thread."""

    def __init__(self, connection: Connection, future: Future[T]) -> None:
        self._connection, self._future = connection, future

    def wait(self, seconds: float) -> bool:
        """Whether it is over by then."""
        return not wait([self._future], timeout=seconds).not_done

    def result(self) -> T:
        """Of one that is over. Raises only ``ComputeError``."""
        return self._connection.call(lambda conn: self._future.result(0))


class Connection:
    """The pooled connection of one node."""

    def __init__(self, node: NodeConfig) -> None:
        self.node = node
        self._lock = threading.Lock()
        self._conn: libvirt.virConnect | None = None
        # Calls whose deadline passed and that may still have their effect.
        self._late: set[Future[Any]] = set()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"libvirt-{node.name}")

    @property
    def is_local(self) -> bool:
        """Whether the hypervisor shares this machine's file system: libvirt's own socket, and not one that
        was named, behind which there may be a tunnel or a container."""
        return self.node.url in ("qemu:///system", "qemu:///session") or self.is_test_driver

    @property
    def is_test_driver(self) -> bool:
        return self.node.url.startswith("test:")

    def call(self, method: Callable[[libvirt.virConnect], T], timeout_s: float | None = None) -> T:
        """Run ``method`` with the connection. Raises only ``ComputeError``: ``BackendTimeout`` when
        the deadline passes (the outcome is then unknown), ``BackendUnavailable`` when it is lost."""
        with engine_waited_for(self.node):
            return self._called(method, timeout_s)

    def _called(self, method: Callable[[libvirt.virConnect], T], timeout_s: float | None) -> T:
        deadline_s = timeout_s or self.node.request_timeout_s
        conn = self.open()
        future: Future[T] = self._threads.submit(method, conn)
        try:
            return future.result(deadline_s)
        except FutureTimeoutError as error:
            if not future.cancel():
                with self._lock:
                    self._late.add(future)
                future.add_done_callback(self._late.discard)
            raise BackendTimeout(
                f"libvirt on {self.node.name} did not answer within {deadline_s:g} s.", node=self.node.name
            ) from error
        except libvirt.libvirtError as error:
            if is_connection_lost(error) or not _alive(conn):
                self._drop(conn)
                raise BackendUnavailable(
                    f"libvirt on {self.node.name} was lost: the daemon stopped or hangs.", node=self.node.name
                ) from error
            raise libvirt_error(error, self.node.name) from error

    def submit(self, method: Callable[[libvirt.virConnect], T]) -> Running[T]:
        """Begin a long call; its caller looks in on it. Left alone, ``settle`` waits for it."""
        conn = self.open()
        future: Future[T] = self._threads.submit(method, conn)
        with self._lock:
            self._late.add(future)
        future.add_done_callback(self._late.discard)
        return Running(self, future)

    @contextlib.contextmanager
    def apart(self) -> Iterator[libvirt.virConnect]:
        """A connection for one long work, which neither the daemon's short silence nor the loss of the
        pooled one ends. Raises only ``ComputeError``, also for what libvirt says within the block."""
        conn = self.open_own(_KEEPALIVE_PATIENT)
        try:
            yield conn
        except libvirt.libvirtError as error:
            raise libvirt_error(error, self.node.name) from error
        finally:
            _close(conn)

    def settle(self) -> None:
        """Wait for calls that are past their deadline but not over: undoing what they may yet do
        would come too early. Raises ``BackendTimeout`` when they do not end."""
        with self._lock:
            late = set(self._late)
        if late and wait(late, timeout=self.node.request_timeout_s).not_done:
            raise BackendTimeout(
                f"libvirt on {self.node.name} still works on an earlier request.", node=self.node.name
            )

    def open(self) -> libvirt.virConnect:
        """The live connection, opened now if need be, within ``connect_timeout_s``."""
        with self._lock:
            if self._conn is not None and _alive(self._conn):
                return self._conn
            self._conn = self.open_own()
            return self._conn

    def open_own(self, keepalive: tuple[int, int] = _KEEPALIVE) -> libvirt.virConnect:
        """A connection apart, for a stream that must not hold up the calls of others; whoever asked
        closes it. Raises ``BackendUnavailable``."""
        event_loop_ensure()
        future = self._threads.submit(self._open, keepalive)
        try:
            return future.result(self._open_deadline_s)
        except FutureTimeoutError as error:
            future.add_done_callback(_close_late)
            raise unavailable(self.node, "silent", "it was called, but does not answer.") from error
        except libvirt.libvirtError as error:
            raise explain(error, self.node) or open_error(error, self.node.name) from error

    def close(self) -> None:
        with self._lock:
            conn, self._conn = self._conn, None
        if conn is not None:
            _close(conn)
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def _open_deadline_s(self) -> float:
        if self.is_local:
            return min(self.node.connect_timeout_s, 2.0)
        return self.node.connect_timeout_s + HANDSHAKE_S

    def _open(self, keepalive: tuple[int, int] = _KEEPALIVE) -> libvirt.virConnect:
        with connect_address(self.node) as address:
            conn = libvirt.open(address)
        if not self.is_test_driver:
            conn.setKeepAlive(*keepalive)
        return conn

    def _drop(self, conn: libvirt.virConnect) -> None:
        with self._lock:
            if self._conn is conn:
                self._conn = None
        _close(conn)


def _alive(conn: libvirt.virConnect) -> bool:
    try:
        return bool(conn.isAlive())
    except libvirt.libvirtError:
        return False


def _close(conn: libvirt.virConnect) -> None:
    try:
        conn.close()
    except libvirt.libvirtError:
        # It was lost already; there is nothing left to give back.
        return


def _close_late(future: Future[libvirt.virConnect]) -> None:
    """An open that came too late must not leave its connection behind."""
    if not future.cancelled() and future.exception() is None:
        _close(future.result())
