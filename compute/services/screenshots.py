"""Pictures of screens: each is asked of the engine once in a few seconds, however many look."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections import OrderedDict

from PIL import Image

from compute.actor import Actor
from compute.backends.capabilities import Capability
from compute.backends.registry import backend_for
from compute.errors import BackendError, InvalidInput, InvalidState, RateLimited
from compute.models import Instance
from compute.selectors.access import action_require
from compute.selectors.instances import instance_get
from compute.selectors.nodes import node_config
from compute.services.guards import content_guarded
from compute.services.instances import capability_require
from compute.services.nodes import node_require
from compute.states import InstanceState

WIDTHS = (160, 320, 640)
# A thumbnail may be older than what someone looks at.
FRESH_S = {True: 10.0, False: 2.0}
_KEPT_MAX, _AT_ONCE, _WAIT_S = 128, 3, 4.0
_PNG = b"\x89PNG\r\n\x1a\n"
# Larger than any screen; what a guest sets as its mode must not fill our memory.
_PIXELS_MAX = 64 * 1024**2

_kept: OrderedDict[tuple[uuid.UUID, int], tuple[float, bytes]] = OrderedDict()
_lock = threading.Lock()
_places: dict[str, threading.BoundedSemaphore] = {}


def screenshot_png(actor: Actor, id_or_name: str | uuid.UUID, width: int = 0) -> bytes:
    """The screen as PNG, whole or shrunk to one of ``WIDTHS``. Raises ``PermissionDenied`` without
    ``console``, ``InvalidState`` when it does not run, ``OperationNotSupported``, ``RateLimited``."""
    if width not in (0, *WIDTHS):
        raise InvalidInput.field("width", f"must be one of {', '.join(map(str, WIDTHS))}; or leave it out.")
    instance = instance_get(actor, id_or_name)
    action_require(actor, "instance.screen", instance.project_id)
    capability_require(instance, Capability.SCREENSHOT)
    node_require(instance.node)
    if instance.state not in (InstanceState.RUNNING, InstanceState.PAUSED):
        raise InvalidState(f"{instance.name} is {instance.state}; start it first.", state=instance.state)
    content_guarded(actor, instance)
    key = (instance.pk, width)
    with _lock:
        taken_at, picture = _kept.get(key, (0.0, b""))
    if time.monotonic() - taken_at < FRESH_S[bool(width)]:
        return picture
    picture = _shrunk(_taken(instance), width)
    with _lock:
        _kept[key] = (time.monotonic(), picture)
        _kept.move_to_end(key)
        while len(_kept) > _KEPT_MAX:
            _kept.popitem(last=False)
    return picture


def _taken(instance: Instance) -> bytes:
    """A few at once for each node: pictures must not keep its other work waiting."""
    with _lock:
        place = _places.setdefault(str(instance.node_id), threading.BoundedSemaphore(_AT_ONCE))
    if not place.acquire(timeout=_WAIT_S):
        raise RateLimited("Too many screens are looked at at once. Try again in a moment.", retry_after=2)
    try:
        return backend_for(node_config(instance.node)).screenshot(instance.engine_id)
    finally:
        place.release()


def _shrunk(picture: bytes, width: int) -> bytes:
    """PNG of at most ``width`` pixels; with 0 as it came, if it came as PNG. A guest chose its size."""
    if not width and picture.startswith(_PNG):
        return picture
    try:
        with Image.open(io.BytesIO(picture), formats=["PNG", "PPM"]) as image:
            if image.width * image.height > _PIXELS_MAX:
                raise BackendError("The screen is larger than LibGo shows.")
            shown = image.convert("RGB")
            if width and shown.width > width:
                shown = shown.resize((width, max(1, round(shown.height * width / shown.width))))
            out = io.BytesIO()
            shown.save(out, "PNG")
            return out.getvalue()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BackendError("The engine sent a picture that cannot be read.") from error
