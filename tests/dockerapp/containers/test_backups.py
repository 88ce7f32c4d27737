"""A container with volumes, backed up on the machine's engine and restored on another one: the same bytes,
the same owners, and nothing left when it fails."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.backends.backup import BackupSpec, RestoreNames
from compute.backends.types import InstanceSpec, NodeConfig, Resources
from compute.backupstore.archive import BackupReader, BackupWriter, Manifest
from compute.backupstore.local import LocalStore
from compute.errors import BackupDamaged
from compute.execution.backup_store import RestoreSource
from compute.states import InstanceType
from dockerapp.backend import DockerBackend
from tests.engines import PrivateEngine
from tests.people import DEMO
from tests.reporter import MemoryReporter

KEY = b"k" * 32
# Content, owner and mode of everything in the volumes and of one file of the container's own layer.
_LOOK = (
    "for p in $(find /data /anon | sort) /own; do stat -c '%n %u:%g %a %F' $p; done; "
    "for p in $(find /data /anon -type f | sort) /own; do md5sum $p; done; readlink /data/link"
)
_FILL = (
    "mkdir -p /data/sub /anon/x; echo one > /data/one; "
    "dd if=/dev/urandom of=/data/sub/big bs=1024 count=3000; "
    "chown 1234:99 /data/sub/big; chmod 750 /data/sub; ln -s one /data/link; echo two > /anon/x/two; "
    "echo layer > /own; chmod 4711 /own; chown 7 /data"
)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerBackend]:
    private = PrivateEngine(tmp_path_factory.mktemp("engine"))
    private.start()
    backend = DockerBackend(NodeConfig("t-far", "far", "docker", private.url))
    yield backend
    backend.close()
    private.close()


def _spec(run_id: str, config: dict[str, Any], name: str = "") -> InstanceSpec:
    return InstanceSpec(
        name=name or f"libgo-t-{uuid.uuid4().hex[:8]}",
        type=InstanceType.CONTAINER,
        instance_id=str(uuid.uuid4()),
        operation_id=str(uuid.uuid4()),
        project_id=str(uuid.uuid4()),
        config=DockerBackend.config_validate(config, allow_root_equivalent=False),
        resources=Resources(cpu_cores=0.5, memory_bytes=64 * 1024**2),
        labels={"libgo.test": run_id},
    )


def _run(backend: DockerBackend, engine_id: str, script: str) -> str:
    host = backend._client.docker_host()
    words = ["docker", "-H", host, "exec", "-u", "0", engine_id, "sh", "-c", script]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def _undo(backend: DockerBackend, report: MemoryReporter) -> None:
    for step in reversed(report.steps):
        backend.undo(step)


def _things(backend: DockerBackend) -> set[str]:
    """Containers, volumes and images (layers too), but for the helper's own."""
    rows = backend._client.call(lambda api: api.containers(all=True))
    images = backend._client.call(lambda api: api.images(all=True))
    helper = {row["Id"] for row in backend._client.call(lambda api: api.images(name="libgo/helper"))}
    volumes = {f"volume {info.name}" for info in backend.resource_list("volume")}
    return volumes | {str(row["Id"]) for row in (*rows, *images) if row["Id"] not in helper}


@pytest.fixture
def taken(backend: DockerBackend, run_id: str, tmp_path: Path) -> Iterator[tuple[str, str, LocalStore]]:
    """What the container looks like, the id of its backup, and where that lies."""
    volume = f"libgo-t-{uuid.uuid4().hex[:8]}"
    config = {
        "image": DEMO,
        "network_mode": "none",
        "volumes": [f"{volume}:/data", "/anon"],
        "env": {"A": "b c"},
    }
    spec, report = _spec(run_id, config), MemoryReporter()
    try:
        info = backend.instance_create(spec, report)
        _run(backend, info.engine_id, _FILL)
        looks = _run(backend, info.engine_id, _LOOK)
        store, backup_id, more = LocalStore(tmp_path), str(uuid.uuid4()), MemoryReporter()
        writer = BackupWriter(store, backup_id, KEY)
        wanted = BackupSpec(spec.instance_id, str(uuid.uuid4()), spec.project_id)
        definition = backend.instance_backup(info.engine_id, wanted, writer, more)
        writer.finish(Manifest(backup_id, "", "docker", {"name": spec.name}, definition))
        # Others use this engine, too: only what this one could have left.
        mark, using = f"libgo.operation={wanted.operation_id}", {"volume": [volume]}
        assert not backend._client.call(lambda api: api.images(all=True, filters={"label": [mark]}))
        rows = backend._client.call(lambda api: api.containers(all=True, filters=using))
        assert [row["Id"] for row in rows] == [info.engine_id]
        yield looks, backup_id, store
    finally:
        _undo(backend, report)


def test_restored_on_another_engine_with_the_same_bytes(
    taken: tuple[str, str, LocalStore], far: DockerBackend, run_id: str
) -> None:
    looks, backup_id, store = taken
    source = RestoreSource(BackupReader(store, backup_id, [KEY]))
    before, report = _things(far), MemoryReporter()
    config = far.backup_config(source.definition, RestoreNames("again", False, {"volume": frozenset()}))
    assert config["env"]["A"] == "b c" and len(config["volumes"]) == 2
    spec = _spec(run_id, config, "again")
    info = far.instance_restore(spec, source, report)
    assert info.state == "running" and _run(far, info.engine_id, _LOOK) == looks
    assert [item.name for item in far.snapshot_list(info.engine_id, spec.instance_id)] == ["restored"]
    assert [item.engine_id for item in far.instance_list()] == [info.engine_id]
    _undo(far, report)
    assert _things(far) == before


def test_beside_the_first_it_takes_other_names_and_is_filled_all_the_same(
    taken: tuple[str, str, LocalStore], backend: DockerBackend, run_id: str
) -> None:
    looks, backup_id, store = taken
    source = RestoreSource(BackupReader(store, backup_id, [KEY]))
    volumes = frozenset(item.name for item in backend.volumes.list())
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    config = backend.backup_config(source.definition, RestoreNames(name, True, {"volume": volumes}))
    named = [item.partition(":")[0] for item in config["volumes"]]
    assert not set(named) & volumes and any(item.startswith(f"{name}-") for item in named)
    report = MemoryReporter()
    try:
        info = backend.instance_restore(_spec(run_id, config, name), source, report)
        assert _run(backend, info.engine_id, _LOOK) == looks
    finally:
        _undo(backend, report)
    assert not set(named) & {item.name for item in backend.volumes.list()}


def test_a_damaged_volume_ends_the_restore_and_nothing_stays(
    taken: tuple[str, str, LocalStore], far: DockerBackend, run_id: str
) -> None:
    _, backup_id, store = taken
    source = RestoreSource(BackupReader(store, backup_id, [KEY]))
    key = next(e.key for e in store.list(f"backups/{backup_id}/parts/") if "volume-" in e.key)
    data = bytearray(b"".join(store.get(key)))
    data[-20] ^= 1
    store.put(key, [bytes(data)])
    config = far.backup_config(source.definition, RestoreNames("broken"))
    before, report = _things(far), MemoryReporter()
    with pytest.raises(BackupDamaged):
        far.instance_restore(_spec(run_id, config, "broken"), source, report)
    _undo(far, report)
    assert _things(far) == before
