"""Pull an image, with the progress of its layers folded into one percentage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from docker.errors import APIError, NotFound

from compute.backends.types import Reporter
from compute.errors import BackendError, ComputeError, ImageNotFound
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import engine_errors, reason


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
    """Pull; ``show`` may raise to cancel, which closes the stream and so stops the engine's pull."""
    repository, tag = reference_split(image)
    progress = PullProgress()
    with engine_errors(client.node.name):
        try:
            stream = client.api.pull(repository, tag=tag, stream=True, decode=True)
        except NotFound as error:
            raise _absent(image) from error
        except APIError as error:
            raise _refused(image, str(error.explanation or error)) from error
        _follow(stream, image, progress, show)


def _follow(
    stream: Iterator[Mapping[str, Any]],
    image: str,
    progress: PullProgress,
    show: Callable[[float, str], None],
) -> None:
    try:
        for event in stream:
            if event.get("error"):
                raise _refused(image, str(event["error"]))
            show(progress.feed(event), f"Pulling {image}")
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


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
