"""A registry that a private engine finds on its own loopback, at the other end of a faulty way."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import docker

from tests.dockerapp.conftest import registry_serve
from tests.dockerapp.images.conftest import context
from tests.engines import PrivateEngine
from tests.faults.conftest import asked
from tests.faulty import FaultyProxy, listener_inside
from tests.reporter import MemoryReporter

_MIB = 1024**2
_PORT = 5000
GATE_IMAGE = f"127.0.0.1:{_PORT}/libgo-t-layers:1"


class Gate:
    """``way``: how the engine comes to it now."""

    def __init__(self, engine: PrivateEngine, port: int) -> None:
        self._engine, self._port = engine, port
        self.way = self._way()

    def _way(self) -> FaultyProxy:
        return FaultyProxy(self._port, listener_inside(self._engine.pid, _PORT))

    def renew(self) -> None:
        """For an engine that was started anew."""
        self.way.close()
        self.way = self._way()


@contextlib.contextmanager
def gate_open(engine: PrivateEngine, folder: Path) -> Iterator[Gate]:
    """It has ``GATE_IMAGE``: two layers of 2 and 4 MiB."""
    with registry_serve(folder) as address:
        made = Gate(engine, int(address.rpartition(":")[2]))
        files = {"a": os.urandom(2 * _MIB), "b": os.urandom(4 * _MIB)}
        files["Dockerfile"] = b"FROM scratch\nCOPY a /a\nCOPY b /b\n"
        client = docker.APIClient(base_url=engine.url, version="1.41")
        told = list(
            client.build(fileobj=io.BytesIO(context(files)), custom_context=True, tag=GATE_IMAGE, decode=True)
        )
        assert not [event for event in told if "error" in event], told
        with asked(engine) as backend:
            backend.images.push(GATE_IMAGE, MemoryReporter())
        client.remove_image(GATE_IMAGE, force=True)
        client.close()
        yield made
        made.way.close()
