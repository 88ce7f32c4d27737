"""The ways to a libvirt host over the network, and what is said when one leads nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.backends.capabilities import Capability
from compute.backends.types import NodeAccess, NodeConfig, NodeInfo
from compute.errors import BackendUnavailable
from kvm.backend import KvmBackend
from tests.attacks.catalogue import attack
from tests.authority import OVER, Authority
from tests.engines import SshServer
from tests.hosts import LibvirtHost

VERIFIED = {"tls": True, "tls_verify": True}


class Prober:
    """``probe`` as LibGo tries a node before it is stored; ``private`` is where its files lie."""

    def __init__(self, private: Path) -> None:
        self.private = private

    def probe(self, url: str, options: dict[str, Any], secrets: dict[str, str]) -> NodeInfo:
        access = KvmBackend.node_check(NodeAccess(url, options, secrets))
        config = NodeConfig(
            *("t-way", "far", "kvm", access.url),
            options=access.options,
            secrets=access.secrets,
            runtime_dir=str(self.private),
        )
        backend = KvmBackend(config)
        try:
            return backend.probe()
        finally:
            backend.close()

    def cause(self, url: str, options: dict[str, Any], secrets: dict[str, str]) -> str:
        with pytest.raises(BackendUnavailable) as refused:
            self.probe(url, options, secrets)
        error = refused.value
        # Each sentence says what to do, and holds nothing of what opens the host.
        assert error.message.startswith("libvirt on far cannot be reached: "), error.message
        assert str(self.private) not in error.message and "PRIVATE" not in str(error.details)
        return str(error.details["reason"])


@pytest.fixture
def prober(short_folder: Path) -> Iterator[Prober]:
    private = short_folder / "private"
    private.mkdir(exist_ok=True)
    yield Prober(private)
    assert list(private.iterdir()) == [], "what opens a host lies there only while it is opened"


def _secrets(texts: dict[str, str]) -> dict[str, str]:
    return {f"tls_{name}": text for name, text in texts.items()}


def test_by_tls(prober: Prober, far: LibvirtHost, authority: Authority) -> None:
    found = prober.probe(far.tls_url, VERIFIED, _secrets(authority.texts("libgo")))
    assert found.hostname == far.name
    # Its serial logs are files of its own.
    assert Capability.LOGS not in found.capabilities and Capability.CONSOLE in found.capabilities


@attack(
    "S74",
    "hosts with expired, foreign and wrongly named certificates",
    refused="refused, each with its reason",
)
def test_each_cause_at_tls_has_its_own_words(
    prober: Prober, far: LibvirtHost, authority: Authority, sshd: SshServer, tmp_path: Path
) -> None:
    good, other = _secrets(authority.texts("good")), Authority(tmp_path / "other")
    by_name = far.tls_url.replace("127.0.0.1", "localhost")
    cases = {
        "tls_authority": (far.tls_url, {**good, "tls_ca": Path(other.ca).read_text()}),
        "tls_client": (far.tls_url, {**_secrets(other.texts("x")), "tls_ca": good["tls_ca"]}),
        "tls_client_expired": (far.tls_url, _secrets(authority.texts("old", valid=OVER))),
        "tls_host": (by_name, good),
        "tls_missing": (f"qemu+tls://127.0.0.1:{sshd.port}/system", good),
        "refused": ("qemu+tls://127.0.0.1:1/system", good),
        "dns": ("qemu+tls://nowhere.invalid/system", good),
    }
    said = {word: prober.cause(url, VERIFIED, secrets) for word, (url, secrets) in cases.items()}
    assert said == {word: word for word in cases}
    assert prober.probe(by_name, {"tls": True, "tls_verify": False}, good).hostname == far.name


def test_by_ssh(prober: Prober, sshd: SshServer) -> None:
    """With the key that was given and the host key that was confirmed, whatever the account has."""
    url, key = f"qemu+ssh://root@127.0.0.1:{sshd.port}/system", {"ssh_key": sshd.key}
    assert prober.probe(url, {"ssh_host_key": sshd.host_key}, key).cpu_cores > 0
    cases = {
        "ssh_host_key_unknown": ({}, key),
        "ssh_host_key_changed": ({"ssh_host_key": sshd.public("client")}, key),
        "ssh_auth": (
            {"ssh_host_key": sshd.host_key},
            {"ssh_key": (sshd.folder / "host").read_text()},
        ),
    }
    assert {word: prober.cause(url, *given) for word, given in cases.items()} == {
        word: word for word in cases
    }


def test_in_the_clear_what_is_no_libvirt_is_told(prober: Prober, far: LibvirtHost, sshd: SshServer) -> None:
    assert prober.probe(far.tcp_url, {}, {}).hostname == far.name
    assert prober.cause(f"qemu+tcp://127.0.0.1:{sshd.port}/system", {}, {}) == "protocol"
    assert prober.cause(f"qemu+unix:///system?socket={far.folder}/absent", {}, {}) == "refused"
