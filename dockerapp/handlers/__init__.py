"""The worker's side of what only Docker has: each module carries out one noun's actions."""

from __future__ import annotations

from compute.execution.handlers import Handler
from dockerapp.handlers import containers, images, networks, stacks, system, volumes

HANDLERS: dict[str, Handler] = {
    **containers.HANDLERS,
    **images.HANDLERS,
    **networks.HANDLERS,
    **stacks.HANDLERS,
    **system.HANDLERS,
    **volumes.HANDLERS,
}
