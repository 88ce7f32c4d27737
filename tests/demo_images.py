"""The demo images in the machine's own engines, which test runs, the bench and hands share."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compute.backends.types import NodeConfig
from dockerapp.backend import DockerBackend
from kvm.backend import KvmBackend
from tests.reporter import MemoryReporter


def engine_backends() -> tuple[DockerBackend, KvmBackend]:
    docker = NodeConfig("engines-docker", "docker", "docker", "unix:///var/run/docker.sock")
    kvm = NodeConfig("engines-kvm", "kvm", "kvm", "qemu:///system", {"virt_type": "qemu"})
    return DockerBackend(docker), KvmBackend(kvm)


@contextmanager
def demo_images_lock() -> Iterator[None]:
    """Processes make them, and what belongs to them, one by one."""
    with (Path(tempfile.gettempdir()) / "libgo-test-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def demo_images_make() -> None:
    """In both engines, where they are missing. Under ``demo_images_lock``. Raises ``ComputeError``."""
    for backend in engine_backends():
        try:
            backend.demo_image_make(MemoryReporter())
        finally:
            backend.close()
