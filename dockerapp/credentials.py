"""Who LibGo is at a registry. Pure: it is looked up at run time, handed to the engine, and never stored."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from dockerapp.references import HUB

_HUB_SERVER = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class Credentials:
    """For one registry and no other; the password shows in no representation."""

    host: str
    username: str
    password: str = field(repr=False)

    @property
    def server(self) -> str:
        """What the engine calls the registry."""
        return _HUB_SERVER if self.host == HUB else self.host

    def as_engine(self) -> dict[str, str]:
        """The body of the engine's ``POST /auth``."""
        return {"username": self.username, "password": self.password, "serveraddress": self.server}

    def header(self) -> str:
        """The value of ``X-Registry-Auth``."""
        return _encoded(self.as_engine())


def auth_headers(credentials: Credentials | None) -> dict[str, str]:
    """For pull and push. The engine wants the header on a push even when it says nothing."""
    return {"X-Registry-Auth": credentials.header() if credentials else _encoded({})}


def config_headers(many: Iterable[Credentials]) -> dict[str, str]:
    """For a build, which may pull from several registries; the engine picks by their host."""
    known = {item.server: {"username": item.username, "password": item.password} for item in many}
    return {"X-Registry-Config": _encoded(known)}


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
