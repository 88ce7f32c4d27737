"""libvirt lists a volume that it makes before qemu-img has made its file, for as long as the host is busy."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import libvirt
import pytest

from compute.backends.types import InstanceSpec, NodeConfig, Resources
from compute.states import InstanceType
from kvm.backend import KvmBackend
from kvm.engine.domain_xml import volume_xml
from kvm.engine.storage import volume_written
from kvm.engine.volumes import Place, VolumeWanted
from tests.hosts import LibvirtHost
from tests.kvm.conftest import OPTIONS
from tests.reporter import MemoryReporter

_MIB = 1024**2
# More than two looks at how far a copy has come.
_LATE = '#!/bin/sh\nsleep 1.5\nexec {real} "$@"\n'


@pytest.fixture(scope="module")
def late(short_folder: Path) -> Iterator[LibvirtHost]:
    """A host whose qemu-img begins late, as on a machine that has much to do."""
    host = LibvirtHost(short_folder / "late", "libgo-t-late", shared=False)
    program = shutil.which("qemu-img")
    assert program is not None
    real, script = short_folder / "qemu-img", short_folder / "qemu-img.late"
    shutil.copy2(Path(program).resolve(), real)
    script.write_text(_LATE.format(real=real))
    script.chmod(0o755)
    try:
        host.start()
        bind = [*host.inside(), "mount", "--bind", str(script), str(Path(program).resolve())]
        subprocess.run(bind, check=True)
        yield host
    finally:
        host.close()


@pytest.fixture
def backend(late: LibvirtHost) -> Iterator[KvmBackend]:
    made = KvmBackend(NodeConfig("t-late", "late", "kvm", late.url, OPTIONS))
    yield made
    made.close()


def _spec(name: str, config: object) -> InstanceSpec:
    return InstanceSpec(
        name=name,
        type=InstanceType.VM,
        instance_id=str(uuid.uuid4()),
        operation_id=str(uuid.uuid4()),
        project_id=str(uuid.uuid4()),
        config=KvmBackend.config_validate(config, allow_root_equivalent=False),  # type: ignore[arg-type]
        resources=Resources(memory_bytes=64 * _MIB),
        auto_start=False,
    )


def test_a_machine_is_cloned_though_the_files_of_its_copies_come_late(backend: KvmBackend) -> None:
    config = {"disk": {"size": 8 * _MIB}, "disks": [{"size": 8 * _MIB}], "network": "none"}
    machine = backend.instance_create(_spec("late-one", config), MemoryReporter())
    asked = backend.clone_config(machine.config, [asdict(disk) for disk in machine.storage])
    clone = backend.instance_clone(
        machine.engine_id, _spec("late-two", asked), MemoryReporter(), linked=False
    )
    assert [disk.size for disk in clone.storage if disk.size] == [8 * _MIB, 8 * _MIB]
    for made in (machine, clone):
        backend.instance_delete(made.engine_id, keep_storage=False, report=MemoryReporter())


def test_a_volume_is_copied_though_its_file_comes_late(late: LibvirtHost, backend: KvmBackend) -> None:
    conn = late.connect()
    pool = conn.storagePoolLookupByName("default")
    source = pool.createXML(volume_xml("from", 8 * _MIB, "qcow2"), 0)
    seen = []

    class Looking(MemoryReporter):
        def progress(self, percent: float, step: str) -> None:
            super().progress(percent, step)
            seen.append([image.name for image in backend.image_list()])

    try:
        wanted = VolumeWanted("default", "to", 8 * _MIB, "qcow2")
        backend.volumes.copy(Place("default", "from"), wanted, Looking())
        assert any("from" in names and "to" not in names for names in seen), "its file was not there yet"
        assert "to" in [volume.name() for volume in pool.listAllVolumes(0)]
        with pytest.raises(libvirt.libvirtError):
            pool.storageVolLookupByName("never")
        assert volume_written(pool, "never") == 0 < volume_written(pool, "to")
    finally:
        for name in ("from", "to"):
            pool.storageVolLookupByName(name).delete(0)
        conn.close()
    assert source.name() == "from"
