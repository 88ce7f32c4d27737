"""What sockets about one instance share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from compute import streams
from compute.api.base import Parse
from compute.errors import ComputeError, InvalidInput
from compute.sockets import Socket, ask_once

_VALUE_MAX = 4000


class InstanceSocket(Socket):
    """Base of sockets about one instance. ``action`` is what the matrix is asked for."""

    action: ClassVar[str] = "instance.console"

    @property
    def instance_id(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["instance_id"])

    async def content_allowed(self) -> None:
        """Whether the content may (still) be read; raises ``ComputeError``."""
        key = ("content", self.action, self.actor.user_id, self.actor.credential, self.instance_id)
        await ask_once(key, lambda: streams.content_allowed(self.actor, self.instance_id, self.action))

    def complain(self, error: ComputeError) -> None:
        """Say what was wrong and go on."""
        self.push(
            "error", {"code": error.code, "message": error.message, "details": error.details}, key="error"
        )

    def asked(
        self, known: Mapping[str, Parse], *, repeatable: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """The query, typed as for views of the API; unknown and repeated words are refused."""
        found: dict[str, Any] = {}
        for name, values in self.query_all().items():
            if name == "ticket":
                continue
            if name not in known:
                accepted = ", ".join(sorted(known)) or "none"
                raise InvalidInput.field(name[:50], f"is not known here; accepted: {accepted}.")
            if any("\x00" in value or len(value) > _VALUE_MAX for value in values):
                raise InvalidInput.field(name, "is too long or holds a null character.")
            if name in repeatable:
                found[name] = values
            elif len(values) > 1:
                raise InvalidInput.field(name, "was given more than once.")
            else:
                found[name] = known[name](name, values[0])
        return found
