"""The real libvirt, without acceleration: the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compute.backends.types import NodeConfig
from kvm.backend import KvmBackend

OPTIONS = {"virt_type": "qemu", "pool_name": "default", "network_name": "default"}


@pytest.fixture
def backend(engines: None) -> Iterator[KvmBackend]:
    made = KvmBackend(NodeConfig("t-kvm", "kvm", "kvm", "qemu:///system", OPTIONS))
    yield made
    made.close()
