"""Which addresses of an engine are taken, and on what terms."""

from __future__ import annotations

from typing import Any

import pytest

from compute.backends.types import NodeAccess
from compute.errors import InvalidInput, PolicyDenied
from dockerapp.backend import DockerBackend


def _checked(url: str, **options: Any) -> NodeAccess:
    return DockerBackend.node_check(NodeAccess(url, options))


@pytest.mark.parametrize(
    ("url", "options", "stored"),
    [
        ("unix:///var/run/docker.sock", {}, "unix:///var/run/docker.sock"),
        ("tcp://127.0.0.1", {}, "tcp://127.0.0.1:2375"),
        ("http://[::1]:99", {}, "tcp://[::1]:99"),
        ("tcp://far.example", {"tls": True}, "tcp://far.example:2376"),
        ("https://far.example:4243", {}, "tcp://far.example:4243"),
        ("tcp://10.0.0.1:2375", {"insecure": True}, "tcp://10.0.0.1:2375"),
        ("ssh://root@far.example", {}, "ssh://root@far.example"),
        (
            "ssh://far.example:2222/run/podman/podman.sock",
            {},
            "ssh://far.example:2222/run/podman/podman.sock",
        ),
    ],
)
def test_these_are_taken(url: str, options: dict[str, Any], stored: str) -> None:
    assert _checked(url, **options).url == stored


@pytest.mark.parametrize(
    "url",
    [
        "", "nonsense", "file:///etc/passwd", "unix://relative.sock", "unix:///" + "x" * 120, "tcp://",
        "tcp://host:99999", "tcp://user@host:1", "tcp://host:1/path", "tcp://host:1?x=1", "ssh://",
        "ssh://-oProxyCommand=x/", "ssh://a b", "ssh://-l@host", "ssh://host/a:b", "ssh://user:word@host",
        "tcp://host:1\n",
    ],
)  # fmt: skip
def test_these_are_refused_by_the_field(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        _checked(url, insecure=True)
    assert "url" in refused.value.details["fields"]


def test_plain_tcp_to_another_machine_needs_to_be_said() -> None:
    with pytest.raises(PolicyDenied) as refused:
        _checked("tcp://10.0.0.1:2375")
    assert refused.value.details["rule"] == "node_plain_tcp"
    assert "insecure" not in _checked("tcp://127.0.0.1:1", insecure=True).options, "nothing to be warned of"


def test_credentials_of_another_way_are_refused() -> None:
    for url, options in (
        ("unix:///x", {"tls": True}),
        ("unix:///x", {"ssh_key_path": "/k"}),
        ("ssh://host", {"tls_verify": True}),
        ("tcp://127.0.0.1:1", {"ssh_host_key": "x"}),
    ):
        with pytest.raises(InvalidInput):
            _checked(url, **options)
