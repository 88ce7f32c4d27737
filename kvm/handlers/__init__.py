"""The worker's side of what only KVM has: each module carries out one noun's actions."""

from __future__ import annotations

from compute.execution.handlers import Handler

HANDLERS: dict[str, Handler] = {}
