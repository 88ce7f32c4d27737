"""Follow every engine and keep the mirror true.

One thread per node subscribes, then lists (nothing falls between), then reads again whatever an
event names. Truth comes only from reading: on connect everything, on a timer the list, on an
event the one instance. When the engine is lost the node is marked, and the thread tries again.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from django.db import DatabaseError, close_old_connections, connections
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from compute.backends.base import Backend
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_for, backend_forget, backend_problem
from compute.backends.types import OUT_OF_MEMORY, InstanceInfo, NodeConfig
from compute.errors import BackendTimeout, BackendUnavailable, ComputeError, InstanceNotFound
from compute.execution.lease import lease_end
from compute.execution.mirror import (
    instances_gone,
    instances_observe,
    instances_observe_complete,
    memory_ran_out,
)
from compute.execution.resources import resources_look
from compute.execution.sampler import STORE_EVERY_S, Sampler
from compute.models import Instance, Node
from compute.selectors.nodes import node_config
from compute.services.adoption_rules import arrivals_adopt
from compute.services.nodes import node_lost, node_seen

log = structlog.get_logger(__name__)

LEASE_S = 6.0
_RENEW_EVERY_S = 2.0
# A probe costs an engine some 10 ms; with its deadline of 3.5 s a frozen one shows within 10 s.
_PROBE_EVERY_S = 5.0
_LIST_EVERY_S = 60.0
# For engines without events, and for those whose subscription stands but says nothing.
_POLL_EVERY_S = 2.0
# Bursts (a compose file, a host shutting down) become one write.
_COALESCE_S = 0.05
_MANY = 40
_AT_ONCE = 4
# A pull or a build names its image many times a second.
_KIND_EVERY_S = 0.3
_RETRY_FIRST_S, _RETRY_MAX_S = 0.5, 2.0
# An engine that answers is listed a second after its stream ended, however often that happens; each instance
# in detail, which takes many calls, then no more often than this.
_RETRY_ALIVE_S = 1.0
_DETAILS_EVERY_S = 10.0
_SAMPLE_EVERY_S = 2.0
_RAN_OUT_EVERY_S = 60.0


def _process() -> str:
    """This one, asked for at each use: what is loaded may be shared with a process that was forked."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}"


class NodeWatcher(threading.Thread):
    """Everything that is followed on one node."""

    def __init__(self, node: Node) -> None:
        super().__init__(name=f"watch-{node.name}", daemon=True)
        self.node_id = node.pk
        self.config: NodeConfig = node_config(node)
        self.stopping = threading.Event()
        self._inbox = _Inbox()
        self._listed_at: dict[str, float] = {}
        self._pace = Pace()
        self._details_at = 0.0
        self._ran_out: dict[str, float] = {}

    def stop(self) -> None:
        self.stopping.set()
        self._inbox.wake()

    def run(self) -> None:
        delay = _RETRY_FIRST_S
        while not self.stopping.is_set():
            try:
                close_old_connections()
                if not self._lease_take():
                    self.stopping.wait(_RENEW_EVERY_S)
                    continue
                delay = self._watch_once(delay)
            except DatabaseError as error:
                log.warning("watch_database", node=self.config.name, reason=str(error))
            self.stopping.wait(delay)
        self._lease_release()

    def _watch_once(self, delay: float) -> float:
        """Follow until the engine is lost; the seconds to wait before the next try."""
        node = Node.objects.get(pk=self.node_id)
        started, longest = time.monotonic(), _RETRY_MAX_S
        try:
            backend = backend_for(self.config)
            node_seen(node, backend.probe())
            self._follow_on(node, backend)
            longest = _RETRY_ALIVE_S
        except ComputeError as error:
            self._details_at = 0.0
            node_lost(node, error.message)
        except DatabaseError:
            # Busy, or the node was removed meanwhile; ``run`` tries again.
            raise
        except Exception as error:  # outermost frame of the thread: a bug in a backend must not end watching
            log.exception("watch_crashed", node=self.config.name)
            node_lost(node, f"Watching failed unexpectedly ({type(error).__name__}).")
        lived = time.monotonic() - started > 5
        return _RETRY_FIRST_S if lived else min(delay * 2, longest)

    def _follow_on(self, node: Node, backend: Backend) -> None:
        """An engine that answers is not lost, though its stream ended or one of its answers took too long:
        whatever was missed is listed when it is followed anew. Raises ``ComputeError`` when it is lost."""
        try:
            self._follow(node, backend)
        except ComputeError as error:
            log.info("watch_interrupted", node=node.name, reason=error.message)
            node_seen(node, backend.probe())

    def _follow(self, node: Node, backend: Backend) -> None:
        """Subscribe, list, follow. Returns when asked to stop or when the lease was lost; raises
        ``ComputeError`` when the engine is lost."""
        ended = threading.Event()
        inbox = self._inbox = _Inbox()
        has_events = str(Capability.EVENTS) in node.capabilities
        threads = [
            threading.Thread(target=_with_database, args=(self._sample, node, backend, ended), daemon=True),
            threading.Thread(target=_with_database, args=(self._probe, backend, ended, inbox), daemon=True),
        ]
        if has_events:
            threads.append(threading.Thread(target=_read_events, args=(backend, ended, inbox), daemon=True))
        else:
            inbox.list_all()
        for thread in threads:
            thread.start()
        list_every = _LIST_EVERY_S if has_events else _POLL_EVERY_S
        timers = {
            "lease": _Timer(_RENEW_EVERY_S),
            "list": _Timer(list_every),
        }
        try:
            while not self.stopping.is_set():
                if timers["lease"].due() and not self._lease_take():
                    return
                if timers["list"].due():
                    inbox.list_again()
                self._work_off(node, backend, inbox)
        finally:
            ended.set()

    def _work_off(self, node: Node, backend: Backend, inbox: _Inbox) -> None:
        batch = inbox.take(timeout_s=0.5)
        close_old_connections()
        self._list_resources(node, backend, inbox, batch)
        if batch.everything:
            self._list_everything(node, backend, inbox)
        else:
            batch.engine_ids = self._due(batch.engine_ids)
            if batch.listing or len(batch.engine_ids) > _MANY:
                self._reconcile(node, backend, batch.engine_ids)
            elif batch.engine_ids:
                self._reread(node, backend, batch.engine_ids)
        if batch.ran_out:
            self._tell_ran_out(node, batch.ran_out)
        if batch:
            arrivals_adopt(node)

    def _tell_ran_out(self, node: Node, engine_ids: set[str]) -> None:
        """Once a minute of each: what runs out of memory does so again when it is started again."""
        long_ago = time.monotonic() - _RAN_OUT_EVERY_S
        self._ran_out = {key: at for key, at in self._ran_out.items() if at > long_ago}
        fresh = engine_ids - self._ran_out.keys()
        self._ran_out |= dict.fromkeys(fresh, time.monotonic())
        memory_ran_out(node, fresh)

    def _list_everything(self, node: Node, backend: Backend, inbox: _Inbox) -> None:
        """All instances in detail. What came, went or changed its state goes before when they are known
        already, and the details of an engine whose stream ends over and over wait for their turn."""
        if self._details_at:
            self._reconcile(node, backend, set())
        if time.monotonic() < self._details_at:
            inbox.details_at(self._details_at)
            return
        began = timezone.now()
        seen = _detailed(backend, backend.instance_list())
        self._look_again(instances_observe_complete(node, seen, began))
        Node.objects.filter(pk=node.pk).update(listed_at=Now())
        self._details_at = time.monotonic() + _DETAILS_EVERY_S

    def _due(self, engine_ids: set[str]) -> set[str]:
        """Those that may be looked at already; the others come up again."""
        due = self._pace.due(engine_ids)
        self._look_again(engine_ids - due)
        return due

    def _list_resources(self, node: Node, backend: Backend, inbox: _Inbox, batch: Batch) -> None:
        """Images, networks, volumes: a list of each kind that an event named, not too often."""
        kinds = backend.resource_kinds if batch.everything or batch.listing else batch.kinds
        for kind in sorted(kinds & backend.resource_kinds):
            if time.monotonic() - self._listed_at.get(kind, 0.0) < _KIND_EVERY_S and not batch.everything:
                inbox.resource(kind)
                continue
            self._listed_at[kind] = time.monotonic()
            try:
                resources_look(node, backend, kind)
            except (BackendUnavailable, BackendTimeout):
                raise
            except ComputeError as error:
                log.warning("resources_not_listed", node=node.name, kind=kind, reason=error.message)

    def _reconcile(self, node: Node, backend: Backend, changed: set[str]) -> None:
        """One list call; details only of what differs from the rows or was named by an event."""
        began = timezone.now()
        infos = backend.instance_list()
        columns = ("engine_id", "name", "state")
        known = {row[0]: row[1:] for row in Instance.objects.filter(node=node).values_list(*columns)}
        different = [
            info
            for info in infos
            if info.engine_id in changed or known.get(info.engine_id) != (info.name, str(info.state))
        ]
        self._look_again(instances_observe(node, _detailed(backend, different)))
        absent = set(known) - {info.engine_id for info in infos} - {""}
        self._look_again(instances_gone(node, absent, began))

    def _reread(self, node: Node, backend: Backend, engine_ids: set[str]) -> None:
        found, gone, began = [], [], timezone.now()
        for engine_id in engine_ids:
            try:
                found.append(backend.instance_get(engine_id))
            except InstanceNotFound:
                gone.append(engine_id)
        self._look_again(instances_observe(node, found))
        self._look_again(instances_gone(node, gone, began))

    def _look_again(self, engine_ids: set[str]) -> None:
        """What was looked at, made or removed after us: our look may have seen more, or less."""
        for engine_id in engine_ids:
            self._inbox.instance(engine_id)

    def _probe(self, backend: Backend, ended: threading.Event, inbox: _Inbox) -> None:
        """Ask again and again whether the engine answers, beside the work: a list that hangs does so for
        its whole deadline, and nobody should have to wait so long to hear of it."""
        node = Node.objects.filter(pk=self.node_id).first()
        while node is not None and not ended.wait(_PROBE_EVERY_S):
            try:
                close_old_connections()
                info = backend.probe()
                if not ended.is_set():
                    node_seen(node, info)
            except ComputeError as error:
                if not ended.is_set():
                    node_lost(node, error.message)
                    inbox.lose(error)
                return
            except DatabaseError as error:
                log.info("probe_not_written", node=self.config.name, reason=str(error))
            except Exception:  # outermost frame of the thread: the watcher must hear of it
                log.exception("probe_crashed", node=self.config.name)
                inbox.lose(BackendUnavailable("Asking the engine failed unexpectedly."))
                return

    def _sample(self, node: Node, backend: Backend, ended: threading.Event) -> None:
        """The one sampler of this node, however many look at its charts."""
        if str(Capability.STATS) not in node.capabilities:
            return
        sampler = Sampler(node, backend)
        store = _Timer(STORE_EVERY_S)
        while not ended.wait(_SAMPLE_EVERY_S):
            try:
                close_old_connections()
                sampler.look()
                if store.due():
                    sampler.store()
            except (ComputeError, DatabaseError) as error:
                log.info("sample_failed", node=node.name, reason=str(error))
        sampler.store_rest()

    def _lease_take(self) -> bool:
        mine_or_free = Q(watcher=_process()) | Q(watcher_until=None) | Q(watcher_until__lt=Now())
        rows = Node.objects.filter(mine_or_free, pk=self.node_id, is_enabled=True)
        return bool(rows.update(watcher=_process(), watcher_until=lease_end(LEASE_S)))

    def _lease_release(self) -> None:
        try:
            Node.objects.filter(pk=self.node_id, watcher=_process()).update(watcher="", watcher_until=None)
        except DatabaseError as error:
            log.info("lease_not_released", node=self.config.name, reason=str(error))


class Batch:
    """What to do next: list everything in detail, list and compare, or read some again."""

    def __init__(self) -> None:
        self.everything = False
        self.listing = False
        self.engine_ids: set[str] = set()
        self.kinds: set[str] = set()
        self.ran_out: set[str] = set()
        self.lost: ComputeError | None = None

    def __bool__(self) -> bool:
        return bool(self.everything or self.listing or self.engine_ids or self.kinds or self.lost)


class _Inbox:
    """Where the event reader drops hints and the watcher picks them up, coalesced."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._batch = Batch()
        self._owed_at: float | None = None

    def instance(self, engine_id: str, *, ran_out: bool = False) -> None:
        """``ran_out``: the system ended a process in it because its memory was full."""
        with self._condition:
            if ran_out:
                self._batch.ran_out.add(engine_id)
            if engine_id:
                self._batch.engine_ids.add(engine_id)
            else:
                self._batch.listing = True
            self._condition.notify()

    def resource(self, kind: str) -> None:
        with self._condition:
            self._batch.kinds.add(kind)
            self._condition.notify()

    def list_all(self) -> None:
        with self._condition:
            self._batch.everything = True
            self._condition.notify()

    def details_at(self, at: float) -> None:
        """List all at that time, in monotonic seconds."""
        with self._condition:
            self._owed_at = at

    def list_again(self) -> None:
        with self._condition:
            self._batch.listing = True

    def lose(self, error: ComputeError) -> None:
        with self._condition:
            self._batch.lost = error
            self._condition.notify()

    def wake(self) -> None:
        with self._condition:
            self._condition.notify()

    def take(self, timeout_s: float) -> Batch:
        """Wait for hints, give bursts a moment to gather. Raises what the reader ended with."""
        with self._condition:
            if not self._batch:
                self._condition.wait(timeout_s)
        if self._batch:
            time.sleep(_COALESCE_S)
        with self._condition:
            batch, self._batch = self._batch, Batch()
            if self._owed_at is not None and time.monotonic() >= self._owed_at:
                batch.everything, self._owed_at = True, None
            if batch.lost is not None and batch.everything:
                # It stood long enough for a list; where every stream ends at once there is nothing else.
                self._batch.lost, batch.lost = batch.lost, None
        if batch.lost is not None:
            raise batch.lost
        return batch


class Pace:
    """Two looks a second at one instance in the long run, the first three without waiting: what flaps shall
    not keep everybody busy. Who looks for reasons of their own (a comparison, a guest that boots) must not
    use up what a change that comes then needs: with two at once every seventh change waited 0.4 s."""

    _PER_S, _AT_ONCE = 2.0, 3.0

    def __init__(self) -> None:
        # By engine id how many looks were left, and when that was so; who is not here has all.
        self._left: dict[str, tuple[float, float]] = {}

    def due(self, engine_ids: set[str]) -> set[str]:
        """Those that may be looked at now, which counts as done."""
        now = time.monotonic()
        left = {key: has + (now - at) * self._PER_S for key, (has, at) in self._left.items()}
        self._left = {key: (has, now) for key, has in left.items() if has < self._AT_ONCE}
        due = {key for key in engine_ids if self._left.get(key, (self._AT_ONCE, now))[0] >= 1}
        for key in due:
            self._left[key] = (self._left.get(key, (self._AT_ONCE, now))[0] - 1, now)
        return due


class _Timer:
    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next = time.monotonic() + every_s

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._every_s
        return True


def _with_database(work: Callable[..., None], *args: Any) -> None:
    """A thread's own connections end with it: nodes that come and go must not use files up."""
    try:
        work(*args)
    finally:
        connections.close_all()


def _read_events(backend: Backend, ended: threading.Event, inbox: _Inbox) -> None:
    reason: ComputeError = BackendUnavailable("The engine closed its event stream.")
    try:
        for event in backend.events(ended, inbox.list_all):
            if event.kind == "instance":
                inbox.instance(event.engine_id, ran_out=event.action == OUT_OF_MEMORY)
            else:
                inbox.resource(event.kind)
    except ComputeError as error:
        reason = error
    except Exception:  # outermost frame of the thread: the watcher must hear of it, not hang
        log.exception("event_reader_crashed", node=backend.node.name)
    if not ended.is_set():
        inbox.lose(reason)


def _detailed(backend: Backend, infos: list[InstanceInfo]) -> list[InstanceInfo]:
    """The full view of listed instances, without those that vanished in between. Some at a time: a far
    engine takes longer to be reached than to answer."""

    def one(info: InstanceInfo) -> InstanceInfo | None:
        try:
            return backend.instance_get(info.engine_id)
        except InstanceNotFound:
            return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [info for info in pool.map(one, infos) if info is not None]


def watch(stopping: threading.Event) -> None:
    """Keep one :class:`NodeWatcher` per node that is switched on, until ``stopping``."""
    watchers: dict[Any, NodeWatcher] = {}
    while not stopping.is_set():
        try:
            close_old_connections()
            _watchers_match(watchers)
        except DatabaseError as error:
            log.warning("watch_nodes", reason=str(error))
        stopping.wait(1.0)
    for watcher in watchers.values():
        watcher.stop()
    for watcher in watchers.values():
        watcher.join(timeout=3)


def _watchers_match(watchers: dict[Any, NodeWatcher]) -> None:
    wanted = {node.pk: node for node in Node.objects.filter(is_enabled=True) if _is_usable(node)}
    for pk, watcher in list(watchers.items()):
        node = wanted.get(pk)
        if node is None or not watcher.is_alive() or watcher.config != node_config(node):
            watcher.stop()
            del watchers[pk]
            backend_forget(str(pk))
    for pk, node in wanted.items():
        if pk not in watchers:
            watchers[pk] = NodeWatcher(node)
            watchers[pk].start()


def _is_usable(node: Node) -> bool:
    """Whether it can be watched at all; if not, the node says why."""
    problem = backend_problem(node.backend)
    if not problem:
        try:
            node_config(node)
        except BackendUnavailable as error:
            problem = error.message
    if problem:
        node_lost(node, problem)
    return not problem
