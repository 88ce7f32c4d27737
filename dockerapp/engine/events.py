"""The engine's event stream, as hints which container to read again."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import structlog
from docker import APIClient
from docker.types import CancellableStream

from compute.backends.types import EngineEvent
from compute.errors import BackendError, BackendUnavailable, ComputeError
from dockerapp.engine.answers import json_lines
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import engine_errors
from dockerapp.engine.helpers import is_helper

log = structlog.get_logger(__name__)

_FILTERS = json.dumps({"type": ["container", "network", "image", "volume"]})
# A stream that tells nothing although something happened is given up after the two, and a second of the
# engine's clock.
_ASK_EVERY_S, _GRACE_S = 5.0, 1.5
_LOOK_S = 0.25
# What happens inside a container changes nothing that the mirror shows.
_NOISE = ("exec_", "attach", "detach", "resize", "top", "archive-path", "extract-to-dir", "export")

# Events of images, networks and volumes after which their lists are the same.
_UNCHANGED = ("mount", "unmount", "push", "save")


def events_follow(
    client: EngineClient, stop: threading.Event, ready: Callable[[], None]
) -> Iterator[EngineEvent]:
    """Until ``stop`` or the loss of the engine or of its stream, which raises ``BackendUnavailable``."""
    with engine_errors(client.node.name):
        response = _subscribe(client.api)
        stream = CancellableStream(json_lines(response), response)
        over, hearing = threading.Event(), _Hearing(client, response)
        for work, words in ((_close_when, (stream, stop, over)), (hearing.watch, (stream, stop, over))):
            threading.Thread(target=work, args=words, daemon=True).start()
        try:
            ready()
            for raw in stream:
                event = event_parse(raw) if isinstance(raw, Mapping) else None
                hearing.hear(raw)
                if event is not None:
                    yield event
                if stop.is_set():
                    return
        except (requests.RequestException, OSError, BackendError):
            # Closed under its reader.
            if not hearing.is_deaf:
                raise
        finally:
            over.set()
    if hearing.is_deaf:
        raise BackendUnavailable(f"The stream of events of Docker on {client.node.name} stands still.")
    if not stop.is_set():
        raise BackendUnavailable(
            f"Docker on {client.node.name} ended its event stream: the daemon stopped or restarts."
        )


def _subscribe(api: APIClient) -> requests.Response:
    params = {"filters": _FILTERS}
    response: requests.Response = api._get(api._url("/events"), params=params, stream=True, timeout=None)
    api._raise_for_status(response)
    return response


class _Hearing:
    """Whether the stream tells what happens. A connection that is long quiet may be dropped on its way
    without a word to either side; so what happened meanwhile is asked for beside it, in the engine's own
    time. That costs two small questions: the engine keeps its last 256 events in memory."""

    def __init__(self, client: EngineClient, subscribed: requests.Response) -> None:
        self._client = client
        self._since = _clock(subscribed)
        if self._since is not None:
            # What happened within that second may have been before.
            self._since += 1
        self._told_ns = 0
        self.is_deaf = False

    def hear(self, raw: Any) -> None:
        if isinstance(raw, Mapping):
            self._told_ns = max(self._told_ns, _time_ns(raw))

    def watch(self, stream: CancellableStream, stop: threading.Event, over: threading.Event) -> None:
        """Close the stream once it is deaf; ends with it."""
        while self._since is not None and not _either(stop, over, _ASK_EVERY_S):
            try:
                newest = self._newest(self._since)
            except ComputeError as error:
                # Whether the engine answers at all is looked after by the watcher.
                log.info("events_not_compared", node=self._client.node.name, reason=error.message)
                continue
            if newest > self._told_ns and not _either(stop, over, _GRACE_S) and newest > self._told_ns:
                self.is_deaf = True
                _close(stream)
                return

    def _newest(self, since: int) -> int:
        """When the last thing happened, in nanoseconds; 0 when nothing did since the last look."""
        now = self._client.call(lambda api: _clock(api._get(api._url("/_ping"))), quick=True)
        self._since = now
        if now is None or now <= since:
            return 0
        params = {"filters": _FILTERS, "since": since, "until": now}
        answer = self._client.call(lambda api: api._get(api._url("/events"), params=params), quick=True)
        return max(map(_time_ns, map(_mapping, answer.content.splitlines())), default=0)


def _clock(response: requests.Response) -> int | None:
    """The engine's own time, in whole seconds since 1970; None when it does not tell."""
    try:
        return int(parsedate_to_datetime(response.headers["Date"]).timestamp())
    except (KeyError, TypeError, ValueError):
        return None


def _mapping(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _time_ns(raw: Mapping[str, Any]) -> int:
    at = raw.get("timeNano")
    return at if isinstance(at, int) else 0


def _either(stop: threading.Event, over: threading.Event, within_s: float) -> bool:
    """Wait; whether one of them was set."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if stop.wait(_LOOK_S) or over.is_set():
            return True
    return False


def _close_when(stream: CancellableStream, stop: threading.Event, over: threading.Event) -> None:
    """The stream has no time-out of its own; closing it from beside ends the wait. ``over``: the
    reader has left, by itself or because the engine went."""
    while not stop.wait(_LOOK_S) and not over.is_set():
        pass
    _close(stream)


def _close(stream: CancellableStream) -> None:
    # The other side may have closed it first.
    with contextlib.suppress(OSError, AttributeError):
        stream.close()


def event_parse(raw: Mapping[str, Any]) -> EngineEvent | None:
    """What an event is about: a container, or a kind of thing to list again; None for noise."""
    action, kind = str(raw.get("Action", "")), str(raw.get("Type", ""))
    actor = raw.get("Actor") or {}
    if action.startswith(_NOISE):
        return None
    at = raw.get("timeNano")
    stamp = datetime.fromtimestamp(int(at) / 1e9, timezone.utc) if at else None
    action = action.partition(":")[0]
    if kind == "container":
        attributes = actor.get("Attributes") or {}
        if is_helper(str(attributes.get("name", "")), attributes):
            return None
        engine_id = str(actor.get("ID", ""))
    else:
        # Who joins or leaves a network is a change of the container, not of the network.
        engine_id = str((actor.get("Attributes") or {}).get("container", "")) if kind == "network" else ""
    if engine_id:
        return EngineEvent(engine_id, action, stamp)
    if kind in ("image", "network", "volume") and action not in _UNCHANGED:
        return EngineEvent(str(actor.get("ID", "")), action, stamp, kind=kind)
    return None
