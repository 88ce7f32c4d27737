"""Pull and push images, with the progress of their layers folded into one percentage."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from docker import APIClient

from compute.backends.types import Reporter
from compute.errors import BackendError, ComputeError, ImageNotFound, InvalidInput, NotFound
from dockerapp.credentials import Credentials, auth_headers
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import reason
from dockerapp.engine.stream import Event, EventStream, Explain, Stall, stream_follow

_SETTLE_S = 0.3
_NEARLY_ALL = 99.0
# Percentage and step; ``line`` is worth a place in the log. May raise to cancel.
Show = Callable[[float, str, str], None]


@dataclass
class _Layer:
    moved: float = 0.0
    unpacked: float = 0.0
    total: int | None = None


class LayerProgress:
    """Layers weigh what they hold in bytes (the mean of the known ones until that is told). On a pull
    downloading and unpacking are half of a layer each; on a push there is only sending. The
    percentage never falls."""

    def __init__(self, *, unpacks: bool = True) -> None:
        self._unpacks = unpacks
        self._layers: dict[str, _Layer] = {}
        self._said: dict[str, str] = {}
        self.percent = 0.0

    def feed(self, event: Event) -> float:
        """Take one event of the stream; the percentage so far, 0 to 100."""
        status, layer_id = str(event.get("status", "")), str(event.get("id", ""))
        detail = event.get("progressDetail")
        if status in _NO_WORK or status.startswith("Mounted from"):
            # What is there already must not stand for work that was done.
            self._layers.pop(layer_id, None)
        elif layer_id and (layer_id in self._layers or status in _FIRST_WORDS):
            known = self._layers.setdefault(layer_id, _Layer())
            self._move(known, status, detail if isinstance(detail, Mapping) else {})
        self.percent = max(self.percent, self._fold())
        return self.percent

    def line(self, event: Event) -> str:
        """What the log should say of the event; empty for another tick of what it said already."""
        status, layer_id = str(event.get("status", ""))[:500], str(event.get("id", ""))[:80]
        if not status or self._said.get(layer_id) == status:
            return ""
        self._said[layer_id] = status
        return f"{layer_id}: {status}" if layer_id else status

    def _move(self, layer: _Layer, status: str, detail: Mapping[str, Any]) -> None:
        current, total = _count(detail.get("current")), _count(detail.get("total"))
        if total:
            layer.total = total
        share = min(1.0, current / total) if total else 0.0
        if status in ("Downloading", "Pushing"):
            layer.moved = max(layer.moved, share)
        elif status in ("Verifying Checksum", "Download complete"):
            layer.moved = 1.0
        elif status == "Extracting":
            layer.moved, layer.unpacked = 1.0, max(layer.unpacked, share)
        elif status in ("Pull complete", "Pushed"):
            layer.moved = layer.unpacked = 1.0

    def _fold(self) -> float:
        known = [layer.total for layer in self._layers.values() if layer.total]
        mean = sum(known) / len(known) if known else 1.0
        weights = [(layer.total or mean, layer) for layer in self._layers.values()]
        whole = sum(weight for weight, _ in weights)
        if not whole:
            return 0.0
        return 100 * sum(weight * self._share(layer) for weight, layer in weights) / whole

    def _share(self, layer: _Layer) -> float:
        return 0.5 * layer.moved + 0.5 * layer.unpacked if self._unpacks else layer.moved


_FIRST_WORDS = {"Pulling fs layer", "Waiting", "Downloading", "Preparing", "Pushing"}
_NO_WORK = {"Already exists", "Layer already exists"}


def image_ensure(
    client: EngineClient,
    image: str,
    when: str,
    report: Reporter,
    span: tuple[float, float],
    credentials: Credentials | None = None,
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

    def show(percent: float, step: str, line: str) -> None:
        if line:
            report.log(line)
        report.progress(low + (high - low) * percent / 100, step)

    image_pull(client, image, show, credentials)
    report.log(f"Pulled {image}")


def image_present(client: EngineClient, image: str) -> bool:
    """Whether the engine has it already."""
    return image_doc(client, image) is not None


def image_doc(client: EngineClient, image: str) -> Mapping[str, Any] | None:
    """What the engine tells of it; None when it is not there."""
    try:
        return dict(client.call(lambda api: api.inspect_image(image)))
    except NotFound:
        return None


def image_pull(
    client: EngineClient,
    image: str,
    show: Show,
    credentials: Credentials | None = None,
    platform: str = "",
) -> Mapping[str, Any]:
    """Pull; what the engine then tells of the image. ``show`` may raise to cancel, which stops the
    engine's pull; the image's name is afterwards what it was before, or nothing."""
    progress, before = LayerProgress(), image_doc(client, image)
    repository, tag = reference_split(image)

    def post(api: APIClient, body: Any) -> Any:
        params = {"fromImage": repository, "tag": tag, **({"platform": platform} if platform else {})}
        url = api._url("/images/create")
        return api._post(url, params=params, headers=auth_headers(credentials), stream=True, timeout=None)

    def each(event: Event) -> None:
        percent = progress.feed(event) if event else progress.percent
        show(percent, f"Pulling {image}", progress.line(event))

    try:
        stream_follow(
            EventStream(client, post, _explain_pull(image), stall=_stall(client, image, "pull")), each
        )
        found = image_doc(client, image)
        if found is None:
            raise BackendError(f"Pulling “{image}” ended before the image was complete.", image=image)
        _platform_check(image, platform, found)
    except ComputeError:
        if progress.percent >= _NEARLY_ALL:
            # The engine may just be writing the image down.
            time.sleep(_SETTLE_S)
            with contextlib.suppress(ComputeError):
                name_restore(client, image, str(before["Id"]) if before else "")
        raise
    return found


def image_push(
    client: EngineClient, image: str, show: Show, credentials: Credentials | None = None
) -> dict[str, Any]:
    """Push; ``{"digest", "size_bytes"}`` as the registry then has it."""
    progress, result = LayerProgress(unpacks=False), dict[str, Any]()
    repository, tag = reference_split(image)

    def post(api: APIClient, body: Any) -> Any:
        url = api._url("/images/{0}/push", repository)
        headers = auth_headers(credentials)
        return api._post(url, params={"tag": tag}, headers=headers, stream=True, timeout=None)

    def each(event: Event) -> None:
        aux = event.get("aux")
        if isinstance(aux, Mapping) and aux.get("Digest"):
            result.update(digest=str(aux["Digest"])[:100], size_bytes=_count(aux.get("Size")))
        percent = progress.feed(event) if event else progress.percent
        show(percent, f"Pushing {image}", progress.line(event))

    stream_follow(EventStream(client, post, _explain_push(image), stall=_stall(client, image, "push")), each)
    if not result:
        raise BackendError(f"Pushing “{image}” ended before the registry had all of it.", image=image)
    return result


def reference_split(image: str) -> tuple[str, str]:
    """``repository, tag``; a digest is a tag to the engine. Without either: ``latest``."""
    if "@" in image:
        name, _, digest = image.partition("@")
        head, colon, tail = name.rpartition(":")
        return (head if colon and "/" not in tail else name), digest
    head, colon, tail = image.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (image, "latest")


def name_restore(client: EngineClient, image: str, before: str) -> None:
    """The name means again what it meant before: an image's id, or nothing."""
    now = image_doc(client, image)
    if now is None or before == now.get("Id"):
        return
    if not before:
        client.call(lambda api: api.remove_image(image))
        return
    repository, tag = reference_split(image)
    client.call(lambda api: api.tag(before, repository, tag, force=True))


def _platform_check(image: str, wanted: str, found: Mapping[str, Any]) -> None:
    """The engine takes another architecture without a word."""
    if not wanted:
        return
    system, _, rest = wanted.partition("/")
    machine = rest.partition("/")[0]
    has = (str(found.get("Os", "")), str(found.get("Architecture", "")))
    if has != (system, machine or has[1]):
        raise ImageNotFound(
            f"“{image}” has no variant for {wanted}: the registry gave {has[0]}/{has[1]}.", image=image
        )


def _stall(client: EngineClient, image: str, verb: str) -> Stall:
    after_s = client.node.stall_timeout_s
    return Stall(
        after_s,
        f"The {verb} of “{image}” was given up: nothing moved for {after_s:g} s, though "
        f"{client.node.name} is well. Does the registry answer, and the network between? What is complete is "
        "kept, so try again; docker.stallTimeout sets how long is waited.",
    )


def _explain_pull(image: str) -> Explain:
    def explain(status: int, text: str) -> ComputeError:
        return image_refused(image, "pull", status, text)

    return explain


def _explain_push(image: str) -> Explain:
    def explain(status: int, text: str) -> ComputeError:
        return image_refused(image, "push", status, text)

    return explain


def image_refused(image: str, verb: str, status: int, text: str) -> ComputeError:
    """What a registry, or the engine on its behalf, refused; told apart by its words."""
    lowered = text.lower()
    if verb == "pull" and "pull access denied" in lowered:
        return ImageNotFound(
            f"No registry has an image “{image}”, or it wants a log-in: add its registry with a user name "
            "and password.",
            image=image,
        )
    if any(word in lowered for word in _UNAUTHORISED):
        return BackendError(
            f"The registry does not let LibGo {verb} “{image}”: {reason(text)}. Check the user name and the "
            "password of the registry.",
            image=image,
        )
    if verb == "push" and "does not exist locally" in lowered:
        return ImageNotFound(f"The node has no image “{image}”.", image=image)
    if status == 404 or any(word in lowered for word in ("manifest unknown", "not found", "does not exist")):
        return ImageNotFound(f"No registry has an image “{image}”. Check the name and the tag.", image=image)
    if any(word in lowered for word in ("no such host", "connection refused", "i/o timeout", "dial tcp")):
        host = image.partition("/")[0]
        return BackendError(
            f"The node cannot reach the registry {host}: {reason(text)}. Check its address and the node's "
            "network.",
            image=image,
        )
    if "toomanyrequests" in lowered or "too many requests" in lowered:
        return BackendError(
            f"The registry of “{image}” takes no more requests for now: {reason(text)}. Wait a while, or add "
            "the registry with a user name and password: that usually allows more.",
            image=image,
        )
    if "x509" in lowered or "http response to https" in lowered:
        return BackendError(
            f"The node does not trust the registry of “{image}”: {reason(text)}. Put its authority into the "
            "engine's certs.d folder, or list it as insecure there.",
            image=image,
        )
    if status == 400:
        return InvalidInput.field("image", f"was refused by the engine: {reason(text)}")
    return BackendError(f"The {verb} of “{image}” failed: {reason(text)}", image=image)


_UNAUTHORISED = ("unauthorized", "no basic auth", "denied", "authentication required", "incorrect username")


def _count(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 2**62 else 0
