"""Where an allowed name of a server must not lead."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from compute.errors import PolicyDenied
from kvm.engine.fetch import fetched
from tests.attacks.catalogue import attack

_SERVER = "https://images.example/"


def _named(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@attack("S71", "an allowed image server whose name leads inside, in numbers of any form", refused="refused")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "::1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
        "fd00:ec2::254",
        "224.0.0.1",
    ],
)
def test_an_allowed_name_leads_nowhere_inside(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _named(monkeypatch, "93.184.215.14", address)
    with pytest.raises(PolicyDenied, match="public servers only"), fetched(f"{_SERVER}a.qcow2", [_SERVER], 1):
        raise AssertionError("it was connected to")
