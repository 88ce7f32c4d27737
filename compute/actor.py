"""Who asks for something: carried from the edge (API, page, socket, command) down to the records."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from compute.states import Permission


@dataclass(frozen=True)
class Scope:
    """What a personal token lets its holder do: never more than the account may. ``project_ids`` None
    are all of the account's."""

    permissions: frozenset[Permission]
    project_ids: frozenset[uuid.UUID] | None = None

    @property
    def is_whole(self) -> bool:
        """As good as the account itself."""
        return Permission.ADMIN in self.permissions and self.project_ids is None


@dataclass(frozen=True)
class Credential:
    """By what somebody came in: when it ends, everything opened with it ends too. ``scope`` None does
    not narrow."""

    token_id: uuid.UUID | None = None
    family: uuid.UUID | None = None
    session_key: str = ""
    scope: Scope | None = None


@dataclass(frozen=True)
class Actor:
    """``user_id`` None is LibGo itself (commands, sweeper). Rights are never cached here: they are
    read at every use by ``compute.selectors.access``. ``is_admin`` is narrowed by the credential;
    ``is_admin_account`` is not: it says whose the credential is."""

    user_id: uuid.UUID | None
    username: str
    is_admin: bool = False
    remote_address: str = ""
    request_id: str = field(default="")
    is_admin_account: bool = False
    credential: Credential = field(default=Credential())
    user_agent: str = ""
    # How it came in, where the credential does not tell: schedule, command, ...
    via: str = ""

    @property
    def method(self) -> str:
        """For the audit: session, jwt, token, system, or what ``via`` says."""
        if self.via:
            return self.via
        if self.credential.token_id is not None:
            return "token"
        if self.credential.session_key:
            return "session"
        if self.credential.family is not None:
            return "jwt"
        return "system" if self.user_id is None and self.username == "system" else ""


SYSTEM = Actor(user_id=None, username="system", is_admin=True)
