"""Real machines as files: what comes out is whole, and nothing else is left anywhere."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from compute.backends.types import ExportSpec, NodeConfig
from compute.errors import InvalidInput, OperationCancelled
from kvm.backend import KvmBackend
from kvm.engine.ovf import OvfDisk, ovf_read
from tests.faults.catalogue import fault
from tests.kvm.conftest import OPTIONS
from tests.kvm.guest import Guest, spec_of, volumes_of
from tests.reporter import MemoryReporter


@pytest.fixture(scope="module")
def machine(engines: None) -> Iterator[Guest]:
    """One that is off."""
    from_node = KvmBackend(NodeConfig("t-kvm-export", "kvm", "kvm", "qemu:///system", OPTIONS))
    made = Guest(from_node, spec_of(from_node, auto_start=False))
    yield made
    made.gone()
    from_node.close()


def _wanted(folder: Path, kind: str, **more: str) -> ExportSpec:
    return ExportSpec(kind, str(folder / "out"), "web", str(uuid.uuid4()), **more)


def _info(path: Path) -> dict[str, object]:
    words = ["qemu-img", "info", "--output=json", str(path)]
    return dict(orjson.loads(subprocess.run(words, check=True, capture_output=True).stdout))


def _undone(guest: Guest, report: MemoryReporter) -> None:
    for step in reversed(report.steps):
        guest.backend.undo(step)


@pytest.mark.parametrize("kind", ["qcow2", "raw", "vdi"])
def test_each_format_stands_on_its_own(machine: Guest, tmp_path: Path, kind: str) -> None:
    report = MemoryReporter()
    made = machine.backend.instance_export(machine.engine_id, _wanted(tmp_path, kind), report)
    path = tmp_path / "out" / made.file_name
    found = _info(path)
    assert (found["format"], found["virtual-size"]) == (kind, 40 * 1024**2)
    assert "backing-filename" not in found
    assert (made.size_bytes, made.sha256) == (
        path.stat().st_size,
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    assert path.stat().st_mode & 0o777 == 0o600 and [item.name for item in path.parent.iterdir()] == [
        path.name
    ]
    assert report.percents == sorted(report.percents)
    assert not [name for name in volumes_of(machine.backend, machine.spec.instance_id) if "export" in name]


def test_an_ova_has_its_descriptor_first_and_a_manifest_that_holds(machine: Guest, tmp_path: Path) -> None:
    made = machine.backend.instance_export(machine.engine_id, _wanted(tmp_path, "ova"), MemoryReporter())
    with tarfile.open(tmp_path / "out" / made.file_name) as tar:
        assert tar.getnames() == ["web.ovf", "web.mf", "web-disk1.vmdk"]
        parts = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    for line in parts["web.mf"].decode().splitlines():
        name, _, digest = line.removeprefix("SHA256(").partition(")= ")
        assert hashlib.sha256(parts[name]).hexdigest() == digest
    told = ovf_read(parts["web.ovf"])
    assert told.disks == [OvfDisk("web-disk1.vmdk", 40 * 1024**2, len(parts["web-disk1.vmdk"]))]
    assert (told.name, told.cpus, told.memory_bytes) == (machine.spec.name, 1, 160 * 1024**2)
    assert (told.bus, told.firmware) == ("virtio", "bios")


@fault(
    "F45 (part)",
    "an export is cancelled while the disk is fetched and while qemu-img converts it",
    sees="it is cancelled",
    keeps="no file, volume, folder or child",
)
def test_a_cancel_leaves_no_file_no_volume_and_no_folder(machine: Guest, tmp_path: Path) -> None:
    for percent in (10, 45, 62):
        report = MemoryReporter()
        report.cancel_at = percent
        with pytest.raises(OperationCancelled):
            machine.backend.instance_export(machine.engine_id, _wanted(tmp_path, "vmdk"), report)
        _undone(machine, report)
        assert not (tmp_path / "out").exists()
        assert subprocess.run(["pgrep", "-f", str(tmp_path / "out")], check=False).returncode == 1, "a child"
        assert not [
            name for name in volumes_of(machine.backend, machine.spec.instance_id) if "export" in name
        ]


def test_what_is_no_disk_is_named(machine: Guest, tmp_path: Path) -> None:
    report = MemoryReporter()
    with pytest.raises(InvalidInput, match=r"options\.disk"):
        machine.backend.instance_export(machine.engine_id, _wanted(tmp_path, "raw", disk="vdz"), report)
    _undone(machine, report)


def test_a_running_machine_goes_on_while_it_is_copied(backend: KvmBackend, tmp_path: Path) -> None:
    guest = Guest(backend, spec_of(backend))
    try:
        guest.booted()
        guest.run("echo kept > /data/word; sync")
        made = backend.instance_export(guest.engine_id, _wanted(tmp_path, "qcow2"), MemoryReporter())
        assert guest.run("cat /data/word") == "kept"
        raw = tmp_path / "look.img"
        subprocess.run(
            ["qemu-img", "convert", "-O", "raw", str(tmp_path / "out" / made.file_name), str(raw)], check=True
        )
        assert b"kept\n" in raw.read_bytes()
        report = MemoryReporter()
        report.cancel_at = 5
        with pytest.raises(OperationCancelled):
            backend.instance_export(guest.engine_id, _wanted(tmp_path, "vdi"), report)
        _undone(guest, report)
        assert (
            backend._connection.call(lambda conn: conn.lookupByUUIDString(guest.engine_id).jobInfo())[0] == 0
        )
    finally:
        guest.gone()
    assert volumes_of(backend, guest.spec.instance_id) == []
