"""Which ports of a host operators may take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from compute.actor import Actor
from compute.errors import PolicyDenied
from compute.models import Node

# As people write one: “127.0.0.1:8080:80/tcp”.
_WRITTEN = re.compile(r"(?:.*:)?(\d+):\d+(?:/\w+)?")


def ports_guard(actor: Actor, node: Node, ports: Any) -> None:
    """Raises ``PolicyDenied`` for ports below ``docker.lowestPort``, and on our own host for LibGo's: who
    had it while LibGo starts again would be told passwords."""
    if actor.is_admin:
        return
    lowest, own = settings.LIBGO["docker"]["lowest_port"], settings.LIBGO_PORT if node.is_local else 0
    for wanted in _host_ports(ports):
        if wanted < lowest:
            raise PolicyDenied(
                f"Ports below {lowest} are for administrators (docker.lowestPort).",
                rule="low_port",
                port=wanted,
            )
        if wanted == own:
            raise PolicyDenied(f"Port {own} is LibGo's own.", rule="own_port", port=wanted)


def _host_ports(ports: Any) -> Iterator[int]:
    for port in ports:
        written = _WRITTEN.fullmatch(port) if isinstance(port, str) else None
        number = written[1] if written else "" if isinstance(port, str) else port["host_port"]
        if number:
            yield int(number)
