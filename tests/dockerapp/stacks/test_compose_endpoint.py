"""Compose reaches every kind of node, and keeps nothing of what opens it."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.backends.types import Grants, NodeConfig
from compute.errors import OperationNotSupported
from dockerapp.backend import DockerBackend
from dockerapp.engine.compose_endpoint import endpoint_environ
from dockerapp.engine.stacks import ImageWanted, StackSpec
from tests.authority import Authority
from tests.dockerapp.nodes.conftest import authority, far, sshd
from tests.engines import SshServer, TlsEngine
from tests.reporter import MemoryReporter

__all__ = ["authority", "far", "sshd"]

TEXT = "services: {one: {image: 'libgo/demo:latest', network_mode: none, labels: {libgo.test: stacks}}}"


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder of these tests; nothing of LibGo's is left in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    left = [path.name for path in tmp_path.glob("libgo-*/*/*") if path.name in ("stack", "key.pem", "env")]
    assert left == []


def up_and_down(backend: DockerBackend) -> None:
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    checked = backend.stacks.check(name, TEXT, {}, is_admin=False)
    assert checked.model is not None, checked.problems
    images = [ImageWanted("libgo/demo:latest", "never")]
    ids = (str(uuid.uuid4()), str(uuid.uuid4()))
    spec = StackSpec(name, *ids, checked.model, images, {"one": 2}, Grants())
    try:
        backend.stacks.up(spec, MemoryReporter())
        assert len(backend.stacks.container_ids(spec.stack_id)) == 2
    finally:
        backend.stacks.down(spec, MemoryReporter(), volumes=True)
    assert backend.stacks.container_ids(spec.stack_id) == []


def test_over_tls_with_sealed_certificates(far: TlsEngine, authority: Authority) -> None:  # noqa: F811
    secrets = {f"tls_{word}": text for word, text in authority.texts("compose").items()}
    node = NodeConfig(
        "t-tls", "tls", "docker", far.tls_url, {"tls": True, "tls_verify": True}, secrets=secrets
    )
    backend = DockerBackend(node)
    backend.demo_image_make(MemoryReporter())
    up_and_down(backend)
    backend.close()


def test_over_ssh_through_the_tunnel(sshd: SshServer, engines: None, scratch: Path) -> None:  # noqa: F811
    options = {"ssh_host_key": sshd.host_key}
    url = f"ssh://root@127.0.0.1:{sshd.port}"
    backend = DockerBackend(NodeConfig("t-ssh", "ssh", "docker", url, options, secrets={"ssh_key": sshd.key}))
    up_and_down(backend)
    backend.close()


@pytest.mark.parametrize("options", [{"tls": True, "tls_verify": False}])
def test_a_certificate_that_nobody_verifies_is_no_way_for_compose(
    options: dict[str, Any], tmp_path: Path
) -> None:
    node = NodeConfig("t", "t", "docker", "tcp://127.0.0.1:1", {**options, "api_version": "1.41"})
    backend = DockerBackend(node)
    with pytest.raises(OperationNotSupported):
        endpoint_environ(backend._client, tmp_path)
