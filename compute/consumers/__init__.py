"""The sockets under ``/ws/v1``."""

from __future__ import annotations

from compute.consumers.facts import Events, Nowhere, OperationSocket
from compute.consumers.logs import Logs
from compute.consumers.stats import Stats, UsageOfMany
from compute.consumers.terminals import Attach, Console, Exec, Graphics

__all__ = [
    "Attach",
    "Console",
    "Events",
    "Exec",
    "Graphics",
    "Logs",
    "Nowhere",
    "OperationSocket",
    "Stats",
    "UsageOfMany",
]
