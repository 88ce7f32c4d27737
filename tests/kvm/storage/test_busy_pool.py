"""While a volume is made in a pool, libvirt does not look through it; nothing else may fail by that."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from compute.errors import ImageNotFound
from kvm.backend import KvmBackend
from kvm.engine import storage
from kvm.engine.domain_xml import pool_xml, volume_xml
from tests.live import until

_MIB = 1024**2
_LARGE = 600 * _MIB


@pytest.fixture
def busy(backend: KvmBackend, folder: Path) -> Iterator[Any]:
    """A pool in which a large copy is under way."""
    piece = os.urandom(_MIB)
    with (folder / "large").open("wb") as file:
        for _ in range(_LARGE // _MIB):
            file.write(piece)
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    pool = backend._connection.call(lambda conn: conn.storagePoolCreateXML(pool_xml(name, str(folder)), 0))
    copying = threading.Thread(target=_copy, args=(pool,))
    copying.start()
    until(lambda: not storage.pool_refresh(pool), "the copy is under way", 10)
    yield pool
    copying.join(120)
    pool.destroy()


def _copy(pool: libvirt.virStoragePool) -> None:
    pool.createXMLFrom(volume_xml("copy", _LARGE, "qcow2"), pool.storageVolLookupByName("large"), 0)


def test_what_is_asked_for_meanwhile_is_answered(backend: KvmBackend, busy: Any) -> None:
    """A seed is written beside the copy, and what is not there is said to be absent: no engine error."""
    wanted = storage.NewVolume(f"libgo-t-{uuid.uuid4().hex[:8]}", "raw", 4096)
    volume = backend._connection.call(lambda conn: storage.upload(conn, busy, wanted, b"x" * 4096))
    assert volume.info()[1] == 4096
    with pytest.raises(ImageNotFound):
        storage.image_find(busy, "libgo-t-none")
    assert storage.pool_refresh(busy, within_s=60), "after the copy the pool is looked through again"
