"""Backups, the same for every backend that has them: restored beside the original, or not at all."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from compute.backends.backup import BackupSpec, RestoreNames
from compute.backends.capabilities import Capability
from compute.backends.types import InstanceInfo
from compute.backupstore.archive import BackupReader, BackupWriter, Manifest
from compute.backupstore.local import LocalStore
from compute.errors import BackupDamaged, OperationNotSupported
from compute.execution.backup_store import RestoreSource
from compute.states import InstanceState
from tests.contract.conftest import Subject
from tests.reporter import MemoryReporter

_KEY = b"c" * 32


def _source(subject: Subject, info: InstanceInfo, folder: Path) -> tuple[LocalStore, str, RestoreSource]:
    """A backup that was taken and opened again."""
    store, backup_id = LocalStore(folder), str(uuid.uuid4())
    writer = BackupWriter(store, backup_id, _KEY)
    wanted = BackupSpec(info.instance_id, str(uuid.uuid4()), info.project_id)
    definition = subject.backend.instance_backup(info.engine_id, wanted, writer, MemoryReporter())
    writer.finish(Manifest(backup_id, "", "contract", {"name": info.name}, definition))
    return store, backup_id, RestoreSource(BackupReader(store, backup_id, [_KEY]))


def test_a_backup_is_restored_beside_and_a_damaged_one_leaves_nothing(
    subject: Subject, tmp_path: Path
) -> None:
    backend = subject.backend
    if Capability.BACKUP not in backend.probe().capabilities:
        assert backend.probe().capabilities < backend.capabilities
        return
    info = subject.create(subject.spec(auto_start=False))
    if subject.has_no_guest:
        # libvirt's test driver hands no disks out, and its probe cannot know.
        with pytest.raises(OperationNotSupported):
            _source(subject, info, tmp_path)
        return
    store, backup_id, source = _source(subject, info, tmp_path)
    assert backend.instance_get(info.engine_id).state == info.state
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    config = backend.backup_config(source.definition, RestoreNames(name, beside=True))
    config = backend.config_validate(config, allow_root_equivalent=False)
    spec = subject.spec(name, config=config, auto_start=False)
    report = MemoryReporter()
    subject.made.append(report)
    again = backend.instance_restore(spec, source, report)
    assert again.engine_id != info.engine_id and again.name == name
    assert again.state in (InstanceState.CREATED, InstanceState.STOPPED)
    assert (again.type, again.instance_id) == (info.type, spec.instance_id), "its marks are its own"

    parts = [entry for entry in store.list(f"backups/{backup_id}/") if "manifest" not in entry.key]
    part = max(parts, key=lambda entry: entry.size_bytes)
    place = next(path for path in tmp_path.rglob("*") if path.is_file() and str(path).endswith(part.key))
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    third, lost = MemoryReporter(), subject.spec(config=spec.config, auto_start=False)
    broken = RestoreSource(BackupReader(store, backup_id, [_KEY]))
    with pytest.raises(BackupDamaged):
        backend.instance_restore(lost, broken, third)
    subject.undo(third)
    assert lost.name not in {row.name for row in backend.instance_list()}
    assert info.name in {row.name for row in backend.instance_list()}, "the original stays"
