"""Which addresses of a libvirt host are taken: an operator's words end up as parameters of a library
that can be told to run programs."""

from __future__ import annotations

from typing import Any

import pytest

from compute.backends.types import NodeAccess, NodeConfig
from compute.errors import InvalidInput, PolicyDenied
from kvm.backend import KvmBackend
from kvm.engine.connection import Connection

TLS = {"tls": True, "tls_ca_path": "/c", "tls_cert_path": "/c", "tls_key_path": "/k"}


def _checked(url: str, **options: Any) -> NodeAccess:
    return KvmBackend.node_check(NodeAccess(url, options))


@pytest.mark.parametrize(
    ("url", "options", "stored"),
    [
        ("qemu:///system", {}, "qemu:///system"),
        ("qemu+unix:///system", {}, "qemu:///system"),
        ("qemu:///session", {}, "qemu:///session"),
        ("qemu+unix:///system?socket=/run/a/sock", {}, "qemu+unix:///system?socket=/run/a/sock"),
        ("qemu+tcp://127.0.0.1/system", {}, "qemu+tcp://127.0.0.1/system"),
        ("qemu+tcp://10.0.0.1:99/system", {"insecure": True}, "qemu+tcp://10.0.0.1:99/system"),
        ("qemu+tls://far.example:16514/system", TLS, "qemu+tls://far.example/system"),
        ("qemu+tls://[fd00::1]:7/system", TLS, "qemu+tls://[fd00::1]:7/system"),
        ("qemu+ssh://root@far.example:22/system", {}, "qemu+ssh://root@far.example/system"),
    ],
)
def test_these_are_taken(url: str, options: dict[str, Any], stored: str) -> None:
    assert _checked(url, **options).url == stored


@pytest.mark.parametrize(
    "url",
    [
        "test:///default",
        "lxc:///system",
        "xen:///system",
        "esx://host/",
        "qemu+ext:///system?command=/tmp/evil",
        "qemu+libssh2://host/system?known_hosts_verify=ignore",
        "qemu+ssh://host/system?command=/tmp/evil",
        "qemu+ssh://host/system?netcat=/tmp/evil",
        "qemu+ssh://host/system?keyfile=/etc/shadow&no_verify=1",
        "qemu+ssh://-oProxyCommand=evil/system",
        "qemu+ssh://root:secret@host/system",
        "qemu+ssh://host/etc/passwd",
        "qemu+tls://host/system?pkipath=/root",
        "qemu+tls://host/system?no_verify=1",
        "qemu:///system?socket=/run/../etc/sock",
        "qemu:///system?socket=relative",
        "qemu:///system?socket=/run/sock&mode=direct",
        "qemu:///system?mode=direct",
        "qemu:///embed?root=/tmp",
        "qemu://host/system",
        "qemu:///system#x",
        "qemu+tcp://host:notaport/system",
        "qemu+ssh://host/system\n",
        "unix:///var/run/docker.sock",
    ],
)
def test_these_are_refused(url: str) -> None:
    options = TLS if "tls" in url else {}
    with pytest.raises(InvalidInput) as refused:
        _checked(url, **options)
    assert list(refused.value.details["fields"]) == ["url"]


def test_in_the_clear_only_by_name() -> None:
    with pytest.raises(PolicyDenied) as refused:
        _checked("qemu+tcp://10.0.0.1/system")
    assert refused.value.details["rule"] == "node_plain_tcp"


def test_tls_wants_a_certificate_of_each_side() -> None:
    with pytest.raises(InvalidInput) as refused:
        _checked("qemu+tls://far.example/system", tls=True, tls_ca_path="/c")
    assert list(refused.value.details["fields"]) == ["tls.cert"]
    with pytest.raises(InvalidInput) as refused:
        _checked("qemu:///system", **TLS)
    assert list(refused.value.details["fields"]) == ["tls"]


def test_only_the_own_socket_is_local() -> None:
    def is_local(url: str) -> bool:
        return Connection(NodeConfig("t", "t", "kvm", url)).is_local

    assert is_local("qemu:///system") and is_local("qemu:///session")
    assert not is_local("qemu+unix:///system?socket=/run/a/sock")
    assert not is_local("qemu+tls://localhost/system")
