"""The worker's side of what only KVM has: each module carries out one noun's actions."""

from __future__ import annotations

from compute.execution.handlers import Handler
from kvm.handlers import cloud_init, exports, images, machines, networks, pools, volumes

HANDLERS: dict[str, Handler] = {
    **cloud_init.HANDLERS,
    **exports.HANDLERS,
    **images.HANDLERS,
    **machines.HANDLERS,
    **networks.HANDLERS,
    **pools.HANDLERS,
    **volumes.HANDLERS,
}
