"""What only KVM has, against its own schema, over a libvirt host of the test's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.sweeping import sweep_require
from tests.hosts import LibvirtHost

_NETWORK = (
    "<network><name>default</name><bridge name='libgo-t-swp'/>"
    "<ip address='10.213.7.1' netmask='255.255.255.0'/></network>"
)


@pytest.fixture
def host(engines: None, island: int) -> Iterator[LibvirtHost]:
    """Networks that the fuzzer makes are bridges of the island."""
    folder = Path(tempfile.mkdtemp(prefix="libgo-t-"))
    folder.chmod(0o755)
    made = LibvirtHost(folder / "far", "libgo-t-sweep", shared=False, network_of=island)
    try:
        made.image_copy("libgo-demo")
        made.start()
        _network_make(made)
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def _network_make(host: LibvirtHost) -> None:
    conn = host.connect()
    try:
        conn.networkDefineXML(_NETWORK).create()
    finally:
        conn.close()


@pytest.mark.timeout(1200)
def test_no_route_answers_what_it_does_not_document(host: LibvirtHost) -> None:
    sweep_require(host.inside(), host.folder.parent / "var", "kvm")
