"""A Docker backend on the local engine, and a registry of the test's own on loopback."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.live import until


@pytest.fixture
def backend(engines: None) -> Iterator[DockerBackend]:
    made = DockerBackend(NodeConfig("t-docker", "docker", "docker", "unix:///var/run/docker.sock"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``127.0.0.1:port`` of an empty registry; engines trust loopback without TLS."""
    folder: Path = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    process = subprocess.Popen(["docker-registry", "serve", str(config)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: requests.get(f"http://{address}/v2/", timeout=1).ok, "the registry answers", 10)
        yield address
    finally:
        process.terminate()
        process.wait(10)
