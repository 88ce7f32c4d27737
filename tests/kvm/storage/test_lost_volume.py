"""Files that libvirt's pools do not know at the moment: they are looked for before anybody is told no."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from compute.errors import InvalidState, OperationNotSupported
from kvm.engine.domain_xml import volume_xml
from kvm.engine.storage import disk_volume, volume_at
from tests.people import World


@pytest.fixture
def conn(engines: None) -> Iterator[libvirt.virConnect]:
    made = libvirt.open("qemu:///system")
    yield made
    made.close()


@pytest.fixture
def lost(conn: libvirt.virConnect, folder: Path, token: str) -> Iterator[tuple[libvirt.virStoragePool, str]]:
    """A pool, and the path of a volume in its folder that it has forgotten."""
    xml = f"<pool type='dir'><name>libgo-t-{token}</name><target><path>{folder}</path></target></pool>"
    pool = conn.storagePoolDefineXML(xml, 0)
    pool.create(0)
    try:
        path = Path(pool.createXML(volume_xml("disk", 1024**2, "qcow2"), 0).path())
        away = path.rename(folder.with_name(f"{folder.name}.away"))
        pool.refresh(0)
        away.rename(path)
        with pytest.raises(libvirt.libvirtError) as unknown:
            conn.storageVolLookupByPath(str(path))
        assert unknown.value.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL
        yield pool, str(path)
    finally:
        if pool.isActive():
            pool.destroy()
        pool.undefine()


def test_a_file_that_its_pool_does_not_know_is_looked_for(
    conn: libvirt.virConnect, lost: tuple[libvirt.virStoragePool, str]
) -> None:
    _, path = lost
    found = disk_volume(conn, "vda", path, "export")
    assert found.path() == path
    assert volume_at(conn, f"{path}-never") is None
    with pytest.raises(OperationNotSupported, match="no storage pool"):
        disk_volume(conn, "vda", f"{path}-never", "export")


def test_a_pool_that_is_stopped_is_named(
    conn: libvirt.virConnect, lost: tuple[libvirt.virStoragePool, str]
) -> None:
    pool, path = lost
    pool.destroy()
    with pytest.raises(InvalidState, match=f"pool {pool.name()}, which is stopped"):
        disk_volume(conn, "vda", path, "export")


def test_clones_succeed_while_their_pool_is_looked_through_all_the_time(
    world: World, conn: libvirt.virConnect
) -> None:
    a, name = world.a, world.name("machine")
    assert a.machine(name, auto_start=False).status_code == 201
    over, looks = threading.Event(), [0]
    pool = conn.storagePoolLookupByName("default")

    def look() -> None:
        while not over.wait(0.01):
            try:
                pool.refresh(0)
                looks[0] += 1
            except libvirt.libvirtError as error:
                assert "asynchronous jobs" in str(error), error

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for number in range(4):
            again = {"name": world.name("machine"), "linked": number % 2 == 1, "auto_start": False}
            made = a.call("POST", f"/compute/instances/{name}/clone?wait=60", again)
            assert made.status_code == 201, made.text
    finally:
        over.set()
        looking.join()
    assert looks[0] > 20
