"""A second engine that only certificates open, and a way to it by ssh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.authority import Authority
from tests.engines import SshServer, TlsEngine
from tests.reporter import MemoryReporter


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[TlsEngine]:
    engine = TlsEngine(tmp_path_factory.mktemp("far"), authority)
    engine.start()
    backend = DockerBackend(NodeConfig("far", "far", "docker", engine.url))
    backend.demo_image_make(MemoryReporter())
    backend.close()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Authority:
    """Another authority, that the engine knows nothing of."""
    return Authority(tmp_path / "elsewhere")
