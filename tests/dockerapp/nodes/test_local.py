"""Which engine is on this machine: only then the kernel's own files tell what its containers use."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from dockerapp.engine.client import EngineClient

SOCKET = "/var/run/docker.sock"


def _client(path: str) -> EngineClient:
    return EngineClient(NodeConfig("local", "local", "docker", f"unix://{path}"))


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[str]:
    """A socket that leads to the same engine, but is held by this very process, as a forwarder's would."""
    path = str(tmp_path / "relay.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    threading.Thread(target=_serve, args=(listener,), daemon=True).start()
    yield path
    listener.close()


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect(SOCKET)
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_the_daemon_behind_its_own_socket_is_local(engines: None) -> None:
    assert _client(SOCKET).is_local


def test_behind_a_forwarder_it_is_not_though_it_answers(engines: None, relay: str) -> None:
    backend = DockerBackend(NodeConfig("relay", "relay", "docker", f"unix://{relay}"))
    assert backend.probe().version and not backend._client.is_local
    backend.close()


def test_nobody_there_is_not_local(tmp_path: Path) -> None:
    assert not _client(str(tmp_path / "absent.sock")).is_local
