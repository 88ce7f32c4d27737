"""Long answers of the engine: a stream of JSON events, which can be left at any moment.

The engine's answer is read in a thread of its own. Whoever follows it hears something at least twice
a second, also while the engine says nothing at all, so a pull that hangs can still be cancelled.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from docker import APIClient
from docker.errors import APIError
from docker.types import CancellableStream

from compute.backends.room import room_error
from compute.errors import BackendTimeout, ComputeError, OperationCancelled
from compute.tell import tell
from dockerapp.engine.answers import json_lines
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import engine_errors

_HEARTBEAT_S = 0.5
# An engine that is busy may miss one question, not several in a row.
_ASK_AFTER_S, _ASKED_TIMES = 4.0, 3
Event = Mapping[str, Any]
# What the engine answered with (0: an error inside the stream) and its words, as an error.
Explain = Callable[[int, str], ComputeError]


@dataclass(frozen=True)
class Stall:
    """How long an engine that is well may say nothing of its work, and what is told of it then."""

    after_s: float
    sentence: str


class EventStream:
    """``post`` sends the request and gives the response; ``body`` is streamed to the engine first.

    The thread may be left behind waiting: what it gets after :meth:`close` it throws away, and a body
    that is still being sent breaks off.
    """

    def __init__(
        self,
        client: EngineClient,
        post: Callable[[APIClient, Iterator[bytes] | None], Any],
        explain: Explain,
        body: Iterable[bytes] | None = None,
        stall: Stall | None = None,
    ) -> None:
        self._stall = stall
        self._client, self._post, self._explain, self._body = client, post, explain, body
        self._inbox: queue.Queue[Event | ComputeError | None] = queue.Queue(maxsize=1000)
        self._lock = threading.Lock()
        self._stream: CancellableStream | None = None
        self._closed = False
        self._asking = False
        # Bytes of the body that were handed on so far.
        self.sent = 0
        threading.Thread(target=self._read, daemon=True).start()

    def events(self) -> Iterator[Event]:
        """The events, and empty ones while nothing comes. Raises what the stream ended with."""
        heard = time.monotonic()
        while True:
            try:
                item = self._inbox.get(timeout=_HEARTBEAT_S)
                heard = time.monotonic()
            except queue.Empty:
                item, silent_s = {}, time.monotonic() - heard
                if self._stall is not None and silent_s > self._stall.after_s:
                    raise self._stalled(self._stall) from None
                if silent_s > _ASK_AFTER_S and not self._asking:
                    self._asking = True
                    threading.Thread(target=self._ask, daemon=True).start()
            if item is None:
                return
            if isinstance(item, ComputeError):
                raise item
            yield item

    def close(self) -> None:
        """Leave; the engine stops what it does for us."""
        with self._lock:
            self._closed = True
            stream = self._stream
        if stream is not None:
            # The other side may have closed it first.
            with contextlib.suppress(OSError, AttributeError):
                stream.close()

    def _stalled(self, stall: Stall) -> ComputeError:
        """The engine itself may be what is gone."""
        try:
            self._client.call(lambda api: api.ping(), quick=True)
        except ComputeError as error:
            return error
        return BackendTimeout(stall.sentence, node=self._client.node.name)

    def _ask(self) -> None:
        """Whether the engine is still there; if it is not, that is how the stream ends."""
        for attempt in range(_ASKED_TIMES):
            try:
                self._client.call(lambda api: api.ping(), quick=True)
                break
            except ComputeError as error:
                if attempt == _ASKED_TIMES - 1:
                    self._put(error)
            time.sleep(_HEARTBEAT_S)
        time.sleep(_ASK_AFTER_S)
        self._asking = False

    def _read(self) -> None:
        end: ComputeError | None = None
        try:
            with engine_errors(self._client.node.name):
                for event in self._open():
                    if not isinstance(event, Mapping):
                        continue
                    if event.get("error"):
                        raise self._explained(0, str(event["error"]))
                    if not self._put(event):
                        return
        except ComputeError as error:
            end = error
        self._put(end)

    def _put(self, item: Event | ComputeError | None) -> bool:
        """False when nobody listens any more."""
        while not self._closed:
            with contextlib.suppress(queue.Full):
                self._inbox.put(item, timeout=_HEARTBEAT_S)
                return True
        return False

    def _open(self) -> Iterator[Event]:
        api = self._client.api
        response = self._post(api, self._feed() if self._body is not None else None)
        events = json_lines(response)
        with self._lock:
            closed, self._stream = self._closed, CancellableStream(events, response)
        if closed:
            self.close()
        try:
            api._raise_for_status(response)
        except APIError as error:
            raise self._explained(error.status_code or 500, str(error.explanation or error)) from error
        # Not the cancellable stream: that one takes a lost engine for the end.
        return events

    def _explained(self, status: int, text: str) -> ComputeError:
        """A full disk is one whatever was done."""
        return room_error(text, tell(f"The disk of {self._client.node.name}")) or self._explain(status, text)

    def _feed(self) -> Iterator[bytes]:
        """The body, which ends in an error when nobody wants it any more: a whole one would be worked
        on by the engine."""
        for chunk in self._body or ():
            if self._closed:
                raise OperationCancelled("The upload was given up.")
            self.sent += len(chunk)
            yield chunk


def stream_follow(stream: EventStream, each: Callable[[Event], None]) -> None:
    """Every event through ``each``, which may raise to cancel; closed whatever happens."""
    try:
        for event in stream.events():
            each(event)
    finally:
        stream.close()
