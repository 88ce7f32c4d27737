"""Where the storm goes down: a console, a Docker engine and a libvirt host of its own, and forty people."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from tests.engines import PrivateEngine
from tests.hosts import LibvirtHost
from tests.live import PASSWORD, LiveConsole
from tests.people import Caller
from tests.reporter import MemoryReporter

CLIENTS, BROWSERS = 20, 20
DOCKER, KVM = "local-docker", "local-kvm"
_PROJECTS = ("storm-a", "storm-b")


@dataclass
class Place:
    console: LiveConsole
    engine: PrivateEngine
    host: LibvirtHost
    clients: list[Caller]
    browsers: list[Caller]
    broker: redis.Redis
    # Files in the pool before anything is made.
    images: set[str]

    @property
    def admin(self) -> Caller:
        return Caller(self.console, "admin")

    def files(self) -> set[str]:
        return set(os.listdir(self.host.folder / "lib" / "images"))


@contextmanager
def place_made() -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="libgo-s-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        engine = _engine(folder, stack)
        host = LibvirtHost(folder / "h", f"storm-{os.getpid()}", shared=False)
        (host.folder / "lib" / "images").mkdir()
        host.image_copy("libgo-demo")
        stack.callback(host.close)
        host.start()
        # Its local nodes are these engines; the machine's own take no part.
        console = LiveConsole(folder / "var", LIBGO_DOCKER_HOST=engine.url, LIBGO_LIBVIRT_URI=host.url)
        stack.callback(console.stop)
        console.start()
        people = _people(console)
        broker = redis.Redis(unix_socket_path=str(console.var / "run" / "broker.sock"))
        stack.callback(broker.close)
        place = Place(console, engine, host, people[:CLIENTS], people[CLIENTS:], broker, set())
        place.images = place.files()
        yield place


def _engine(folder: Path, stack: ExitStack) -> PrivateEngine:
    (folder / "d").mkdir()
    engine = PrivateEngine(folder / "d")
    stack.callback(engine.close)
    engine.start()
    backend = DockerBackend(NodeConfig("storm", "storm", "docker", engine.url))
    backend.demo_image_make(MemoryReporter())
    backend.close()
    return engine


def _people(console: LiveConsole) -> list[Caller]:
    """Operators of two projects; every fifth browser is a viewer's."""
    admin, people = Caller(console, "admin"), []
    for project in _PROJECTS:
        admin.ok("POST", "/projects", {"name": project})
    for number in range(CLIENTS + BROWSERS):
        name, project = f"storm-{number:02}", _PROJECTS[number % 2]
        admin.ok("POST", "/users", {"username": name, "password": PASSWORD})
        role = "viewer" if number >= CLIENTS and number % 5 == 0 else "operator"
        admin.ok("POST", f"/projects/{project}/members", {"user": name, "role": role})
        people.append(Caller(console, name, project))
    return people
