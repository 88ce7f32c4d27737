"""Pull an image, with the progress of its layers folded into one percentage."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from docker.auth import get_config_header, resolve_repository_name
from docker.errors import APIError, NotFound
from docker.types import CancellableStream

from compute.backends.types import Reporter
from compute.errors import BackendError, ComputeError, ImageNotFound
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import engine_errors, reason

_HEARTBEAT_S = 0.5


@dataclass
class _Layer:
    downloaded: float = 0.0
    extracted: float = 0.0
    total: int | None = None


class PullProgress:
    """Layers weigh what they hold in bytes (the mean of the known ones until that is told);
    downloading and extracting are half of a layer each. The percentage never falls."""

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}
        self.percent = 0.0

    def feed(self, event: Mapping[str, Any]) -> float:
        """Take one event of the pull stream; the percentage so far, 0 to 100."""
        status, layer_id = str(event.get("status", "")), str(event.get("id", ""))
        detail = event.get("progressDetail") or {}
        if layer_id and (layer_id in self._layers or status in _FIRST_WORDS):
            self._move(self._layers.setdefault(layer_id, _Layer()), status, detail)
        self.percent = max(self.percent, self._fold())
        return self.percent

    def _move(self, layer: _Layer, status: str, detail: Mapping[str, Any]) -> None:
        current, total = detail.get("current"), detail.get("total")
        if total:
            layer.total = int(total)
        share = min(1.0, float(current or 0) / float(total)) if total else 0.0
        if status == "Downloading":
            layer.downloaded = max(layer.downloaded, share)
        elif status in ("Verifying Checksum", "Download complete"):
            layer.downloaded = 1.0
        elif status == "Extracting":
            layer.downloaded, layer.extracted = 1.0, max(layer.extracted, share)
        elif status in ("Pull complete", "Already exists"):
            layer.downloaded = layer.extracted = 1.0

    def _fold(self) -> float:
        known = [layer.total for layer in self._layers.values() if layer.total]
        mean = sum(known) / len(known) if known else 1.0
        weights = [(layer.total or mean, layer) for layer in self._layers.values()]
        whole = sum(weight for weight, _ in weights)
        if not whole:
            return 0.0
        return 100 * sum(w * (0.5 * x.downloaded + 0.5 * x.extracted) for w, x in weights) / whole


_FIRST_WORDS = {"Pulling fs layer", "Already exists", "Waiting", "Downloading", "Layer already exists"}


def image_ensure(
    client: EngineClient, image: str, when: str, report: Reporter, span: tuple[float, float]
) -> None:
    """Make sure the image is there: ``when`` is missing, always or never; ``span`` is the part of
    the operation's percentage that this may fill. Raises ``ImageNotFound``, ``BackendError``."""
    present = image_present(client, image)
    if present and when != "always":
        return
    if when == "never":
        raise ImageNotFound(f"The image “{image}” is not on the node, and pulling is off.", image=image)
    low, high = span
    report.progress(low, f"Pulling {image}")

    def show(percent: float, step: str) -> None:
        report.progress(low + (high - low) * percent / 100, step)

    image_pull(client, image, show)
    report.log(f"Pulled {image}")


def image_present(client: EngineClient, image: str) -> bool:
    """Whether the engine has it already."""
    try:
        client.call(lambda api: api.inspect_image(image))
    except ImageNotFound:
        return False
    return True


def image_pull(client: EngineClient, image: str, show: Callable[[float, str], None]) -> None:
    """Pull; ``show`` may raise to cancel, which closes the stream and so stops the engine's pull.

    ``show`` is called at least twice a second, also while a registry says nothing at all: a pull
    that hangs can still be cancelled.
    """
    progress, pull = PullProgress(), _PullStream(client, image)
    try:
        for event in pull.events():
            show(progress.feed(event) if event else progress.percent, f"Pulling {image}")
    finally:
        pull.close()
    if not image_present(client, image):
        raise BackendError(f"Pulling “{image}” ended before the image was complete.", image=image)


class _PullStream:
    """Reads the engine's answer in a thread of its own, which may be left behind waiting: what it
    gets after :meth:`close` it throws away."""

    def __init__(self, client: EngineClient, image: str) -> None:
        self._client, self._image = client, image
        self._inbox: queue.Queue[Mapping[str, Any] | ComputeError | None] = queue.Queue(maxsize=1000)
        self._lock = threading.Lock()
        self._stream: CancellableStream | None = None
        self._closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def events(self) -> Iterator[Mapping[str, Any]]:
        """The events, and empty ones while nothing comes. Raises what the pull ended with."""
        while True:
            try:
                item = self._inbox.get(timeout=_HEARTBEAT_S)
            except queue.Empty:
                item = {}
            if item is None:
                return
            if isinstance(item, ComputeError):
                raise item
            yield item

    def close(self) -> None:
        with self._lock:
            self._closed = True
            stream = self._stream
        if stream is not None:
            # The other side may have closed it first.
            with contextlib.suppress(OSError, AttributeError):
                stream.close()

    def _read(self) -> None:
        end: ComputeError | None = None
        try:
            with engine_errors(self._client.node.name):
                for event in self._open():
                    if event.get("error"):
                        raise _refused(self._image, str(event["error"]))
                    if not self._put(event):
                        return
        except ComputeError as error:
            end = error
        self._put(end)

    def _put(self, item: Mapping[str, Any] | ComputeError | None) -> bool:
        """False when nobody listens any more."""
        while not self._closed:
            with contextlib.suppress(queue.Full):
                self._inbox.put(item, timeout=_HEARTBEAT_S)
                return True
        return False

    def _open(self) -> Iterator[Mapping[str, Any]]:
        repository, tag = reference_split(self._image)
        api = self._client.api
        header = get_config_header(api, resolve_repository_name(repository)[0])
        response = api._post(
            api._url("/images/create"),
            params={"fromImage": repository, "tag": tag},
            headers={"X-Registry-Auth": header} if header else None,
            stream=True,
            timeout=None,
        )
        events: Iterator[Mapping[str, Any]] = api._stream_helper(response, decode=True)
        with self._lock:
            closed, self._stream = self._closed, CancellableStream(events, response)
        if closed:
            self.close()
        try:
            api._raise_for_status(response)
        except NotFound as error:
            raise _absent(self._image) from error
        except APIError as error:
            raise _refused(self._image, str(error.explanation or error)) from error
        # Not the cancellable stream: that one takes a lost engine for the end.
        return events


def reference_split(image: str) -> tuple[str, str]:
    """``repository, tag``; a digest is a tag to the engine. Without either: ``latest``."""
    if "@" in image:
        repository, _, digest = image.partition("@")
        return repository, digest
    head, colon, tail = image.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (image, "latest")


def _absent(image: str) -> ImageNotFound:
    return ImageNotFound(f"No registry has an image “{image}”. Check the name and the tag.", image=image)


def _refused(image: str, text: str) -> ComputeError:
    lowered = text.lower()
    if "manifest unknown" in lowered or "not found" in lowered or "does not exist" in lowered:
        return _absent(image)
    if "unauthorized" in lowered or "no basic auth" in lowered or "denied" in lowered:
        return ImageNotFound(f"The registry does not let LibGo pull “{image}”: {reason(text)}", image=image)
    return BackendError(f"Pulling “{image}” failed: {reason(text)}", image=image)
