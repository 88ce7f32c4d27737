"""Who asks for something: carried from the edge (API, page, socket, command) down to the records."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Actor:
    """``user_id`` None is LibGo itself (commands, sweeper). Rights are never cached here: they are
    read at every use by ``compute.selectors.access``."""

    user_id: uuid.UUID | None
    username: str
    is_admin: bool = False
    remote_address: str = ""
    request_id: str = field(default="")


SYSTEM = Actor(user_id=None, username="system", is_admin=True)
