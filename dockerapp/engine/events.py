"""The engine's event stream, as hints which container to read again."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from docker import APIClient
from docker.types import CancellableStream

from compute.backends.types import EngineEvent
from compute.errors import BackendUnavailable
from dockerapp.engine.answers import json_lines
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import engine_errors
from dockerapp.engine.helpers import is_helper

# What happens inside a container changes nothing that the mirror shows.
_NOISE = ("exec_", "attach", "detach", "resize", "top", "archive-path", "extract-to-dir", "export")

# Events of images, networks and volumes after which their lists are the same.
_UNCHANGED = ("mount", "unmount", "push", "save")


def events_follow(
    client: EngineClient, stop: threading.Event, ready: Callable[[], None]
) -> Iterator[EngineEvent]:
    """Until ``stop`` or the loss of the engine, which raises ``BackendUnavailable``."""
    with engine_errors(client.node.name):
        stream = _subscribe(client.api)
        over = threading.Event()
        closer = threading.Thread(target=_close_when, args=(stream, stop, over), daemon=True)
        closer.start()
        try:
            ready()
            for raw in stream:
                event = event_parse(raw) if isinstance(raw, Mapping) else None
                if event is not None:
                    yield event
                if stop.is_set():
                    return
        finally:
            over.set()
    if not stop.is_set():
        raise BackendUnavailable(
            f"Docker on {client.node.name} ended its event stream: the daemon stopped or restarts."
        )


def _subscribe(api: APIClient) -> CancellableStream:
    params = {"filters": json.dumps({"type": ["container", "network", "image", "volume"]})}
    response = api._get(api._url("/events"), params=params, stream=True, timeout=None)
    api._raise_for_status(response)
    return CancellableStream(json_lines(response), response)


def _close_when(stream: CancellableStream, stop: threading.Event, over: threading.Event) -> None:
    """The stream has no time-out of its own; closing it from beside ends the wait. ``over``: the
    reader has left, by itself or because the engine went."""
    while not stop.wait(0.25) and not over.is_set():
        pass
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
