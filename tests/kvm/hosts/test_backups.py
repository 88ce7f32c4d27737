"""A machine, backed up while it runs and when it is off, restored on another host that shares nothing with
the first: the same bytes on its disks, and it boots."""

from __future__ import annotations

import hashlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.backends.backup import BackupSpec, RestoreNames
from compute.backends.types import InstanceInfo, InstanceSpec, NodeConfig, Resources
from compute.backupstore.archive import BackupReader, BackupWriter, Manifest
from compute.backupstore.local import LocalStore
from compute.errors import BackupDamaged
from compute.execution.backup_store import RestoreSource
from compute.states import InstanceState, InstanceType
from kvm.backend import KvmBackend
from tests.hosts import LibvirtHost
from tests.kvm.hosts.test_migrate import OPTIONS, Serial
from tests.reporter import MemoryReporter

KEY = b"k" * 32
_MIB = 1024**2
_IMAGES = Path("/var/lib/libvirt/images")
_SEED = {"user_data": "#cloud-config\npassword: canary-of-the-seed\n"}


@pytest.fixture(scope="module")
def here(engines: None) -> Iterator[KvmBackend]:
    made = KvmBackend(NodeConfig("t-here", "here", "kvm", "qemu:///system", OPTIONS))
    yield made
    made.close()


@pytest.fixture(scope="module")
def alone(short_folder: Path) -> Iterator[LibvirtHost]:
    host = LibvirtHost(short_folder / "alone", "libgo-t-alone", shared=False)
    try:
        yield host.start()
    finally:
        host.close()


@pytest.fixture(scope="module")
def there(alone: LibvirtHost) -> Iterator[KvmBackend]:
    made = KvmBackend(NodeConfig("t-alone", "alone", "kvm", alone.url, OPTIONS))
    yield made
    made.close()


def _spec(config: dict[str, Any], *, auto_start: bool) -> InstanceSpec:
    instance_id = str(uuid.uuid4())
    return InstanceSpec(
        name=f"libgo-t-{instance_id[:8]}",
        type=InstanceType.VM,
        instance_id=instance_id,
        operation_id=str(uuid.uuid4()),
        project_id=str(uuid.uuid4()),
        config=KvmBackend.config_validate(config, allow_root_equivalent=False),
        resources=Resources(memory_bytes=160 * _MIB),
        auto_start=auto_start,
    )


@pytest.fixture(scope="module")
def machine(here: KvmBackend) -> Iterator[tuple[InstanceInfo, str]]:
    """It runs, and its second disk is full of chance; with the sum that the guest reads there."""
    config = {"image": "libgo-demo", "network": "none", "cloud_init": _SEED, "disks": [{"size": 12 * _MIB}]}
    info = here.instance_create(_spec(config, auto_start=True), MemoryReporter())
    try:
        with Serial(here, info.engine_id) as serial:
            serial.heard(r"# ")
            serial.say("dd if=/dev/urandom of=/dev/vdb bs=1024 count=9000 && sync && echo filled=yes\n")
            serial.heard(r"filled=yes\r")
        yield info, _sum(here, info.engine_id)
    finally:
        here.instance_delete(info.engine_id, keep_storage=False, report=MemoryReporter())


def _sum(side: KvmBackend, engine_id: str) -> str:
    """As its guest reads its second disk."""
    with Serial(side, engine_id) as serial:
        serial.say("\n")
        serial.heard(r"# ")
        serial.say("md5sum /dev/vdb | sed 's/^/sum=/'\n")
        return serial.heard(r"sum=[0-9a-f]{32}")


def _backup(here: KvmBackend, info: InstanceInfo, folder: Path) -> tuple[LocalStore, str]:
    store, backup_id = LocalStore(folder), str(uuid.uuid4())
    before = {path.name for path in _IMAGES.iterdir()}
    writer = BackupWriter(store, backup_id, KEY)
    wanted = BackupSpec(info.instance_id, str(uuid.uuid4()), info.project_id)
    definition = here.instance_backup(info.engine_id, wanted, writer, MemoryReporter())
    writer.finish(Manifest(backup_id, "", "kvm", {"name": info.name}, definition))
    left = {path.name for path in _IMAGES.iterdir()} - before
    assert not [name for name in left if ".backup-" in name]
    return store, backup_id


def _restored(there: KvmBackend, backup: tuple[LocalStore, str], *, start: bool) -> InstanceInfo:
    source = RestoreSource(BackupReader(*backup, [KEY]))
    config = there.backup_config(source.definition, RestoreNames("again"))
    return there.instance_restore(_spec(config, auto_start=start), source, MemoryReporter())


def _content(path: Path) -> str:
    """Of a disk as its guest sees it."""
    raw = Path(f"{path}.raw")
    try:
        words = ["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", str(path), str(raw)]
        subprocess.run(words, check=True)
        return hashlib.sha256(raw.read_bytes()).hexdigest()
    finally:
        raw.unlink(missing_ok=True)


def test_running_and_stopped_to_another_host_with_the_same_bytes(
    machine: tuple[InstanceInfo, str], here: KvmBackend, there: KvmBackend, alone: LibvirtHost, tmp_path: Path
) -> None:
    info, seen = machine
    hot = _backup(here, info, tmp_path)
    assert here.instance_get(info.engine_id).state == InstanceState.RUNNING
    again = _restored(there, hot, start=True)
    try:
        assert again.state == InstanceState.RUNNING and again.engine_id != info.engine_id
        assert _sum(there, again.engine_id) == seen
        assert "canary-of-the-seed" in str(there.seed_get(again.engine_id))
    finally:
        there.instance_delete(again.engine_id, keep_storage=False, report=MemoryReporter())
    here.instance_stop(info.engine_id, timeout_s=5, force=True, report=MemoryReporter())
    cold = _backup(here, info, tmp_path)
    again = _restored(there, cold, start=False)
    assert again.state == InstanceState.STOPPED
    first = sorted(_IMAGES.glob(f"*{info.engine_id}*.disk"))
    second = sorted((alone.folder / "lib" / "images").glob(f"*{again.engine_id}*.disk"))
    assert len(first) == len(second) == 2
    assert [_content(path) for path in first] == [_content(path) for path in second]
    there.instance_delete(again.engine_id, keep_storage=False, report=MemoryReporter())
    raw = b"".join(b"".join(hot[0].get(entry.key)) for entry in hot[0].list(f"backups/{hot[1]}/"))
    assert b"canary-of-the-seed" not in raw


def test_a_damaged_disk_ends_the_restore_and_nothing_stays(
    machine: tuple[InstanceInfo, str], here: KvmBackend, there: KvmBackend, alone: LibvirtHost, tmp_path: Path
) -> None:
    store, backup_id = _backup(here, machine[0], tmp_path)
    key = next(e.key for e in store.list(f"backups/{backup_id}/parts/") if "disk-2" in e.key)
    data = bytearray(b"".join(store.get(key)))
    data[len(data) // 2] ^= 1
    store.put(key, [bytes(data)])
    source, report = RestoreSource(BackupReader(store, backup_id, [KEY])), MemoryReporter()
    spec = _spec(there.backup_config(source.definition, RestoreNames("broken")), auto_start=True)
    with pytest.raises(BackupDamaged):
        there.instance_restore(spec, source, report)
    for step in reversed(report.steps):
        there.undo(step)
    assert there.instance_list() == [] and alone.domain_names() == []
    assert not list((alone.folder / "lib" / "images").glob(f"*{spec.instance_id}*"))
