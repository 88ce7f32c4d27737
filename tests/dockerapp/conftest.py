"""A Docker backend on the local engine, and a registry of the test's own on loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import requests

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.live import until

REGISTRY_USER = ("oscar", "a secret of the registry, canary 7f3a")


@pytest.fixture
def backend(engines: None) -> Iterator[DockerBackend]:
    made = DockerBackend(NodeConfig("t-docker", "docker", "docker", "unix:///var/run/docker.sock"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``127.0.0.1:port`` of an empty registry; engines trust loopback without TLS."""
    with registry_serve(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def guarded_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``127.0.0.1:port`` of a registry that lets in only ``REGISTRY_USER``."""
    with registry_serve(tmp_path_factory.mktemp("guarded"), guarded=True) as address:
        yield address


@contextlib.contextmanager
def registry_serve(folder: Path, *, guarded: bool = False) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    users = ""
    if guarded:
        name, password = REGISTRY_USER
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$", 1)
        (folder / "users").write_text(f"{name}:{hashed}\n")
        users = f"auth: {{htpasswd: {{realm: test, path: {folder}/users}}}}\n"
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}, "
        f"delete: {{enabled: true}}}}\nhttp: {{addr: '{address}'}}\n{users}"
    )
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=quiet, stderr=quiet)
    ready = 401 if guarded else 200
    try:
        until(
            lambda: requests.get(f"http://{address}/v2/", timeout=1).status_code == ready,
            "the registry answers",
            10,
        )
        yield address
    finally:
        process.terminate()
        process.wait(10)
