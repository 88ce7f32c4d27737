"""The image of a guest that has an agent and a shell on its screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from compute.backends.types import NodeConfig
from kvm.backend import KvmBackend
from kvm.engine import demo, storage
from tests.reporter import MemoryReporter

_OTHER = "libgo-t-agent"


@contextmanager
def agent_image() -> Iterator[str]:
    """The demo image, or, where that is of an older recipe that machines still use, one beside it."""
    node = NodeConfig("t-agent", "kvm", "kvm", "qemu:///system", {"virt_type": "qemu"})
    backend = KvmBackend(node)
    connection = backend._connection
    try:
        if demo.demo_is_current(connection):
            yield demo.DEMO_IMAGE
            return
        was_there = demo.demo_recipe(connection, _OTHER) is not None
        demo.demo_image_make(connection, MemoryReporter(), name=_OTHER, renew=True)
        yield _OTHER
        if not was_there:
            connection.call(lambda conn: storage.volume_delete(storage.pool_ensure(conn, "default"), _OTHER))
    finally:
        backend.close()
