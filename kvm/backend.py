"""libvirt behind LibGo's contract: short methods over ``engine/``."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from compute.backends.backup import BackupSink, BackupSource, BackupSpec, RestoreNames
from compute.backends.base import Backend
from compute.backends.capabilities import Capability
from compute.backends.types import (
    ByteStream,
    EngineEvent,
    ExecResult,
    ExecSpec,
    ExportInfo,
    ExportSpec,
    Grants,
    HostNetwork,
    ImageInfo,
    ImportFile,
    InstanceInfo,
    InstanceSpec,
    LogLine,
    LogQuery,
    MigrateOutcome,
    MigratePlan,
    MigrateSpec,
    NetworkJoin,
    NodeAccess,
    NodeConfig,
    NodeInfo,
    Reporter,
    ResourceInfo,
    Resources,
    SnapshotInfo,
    SnapshotSpec,
    StorageJoin,
    UndoStep,
    Usage,
)
from compute.errors import InvalidInput
from compute.states import InstanceType
from kvm.engine import (
    address,
    backups,
    clone,
    console,
    create,
    definition,
    demo,
    devices,
    domains,
    events,
    export,
    graphics,
    guest,
    hardware_spec,
    host,
    imports,
    lifecycle,
    logs,
    migrate,
    networks,
    remove,
    resize,
    seeds,
    snapshots,
    spec,
    stats,
    undo,
)
from kvm.engine.connection import Connection
from kvm.engine.images import Images
from kvm.engine.machines import Machines
from kvm.engine.pools import Pools
from kvm.engine.volumes import Volumes
from kvm.looks import ImportLook


class KvmBackend(Backend):
    name = "kvm"
    title = "KVM"
    supported_types = frozenset({InstanceType.VM})
    capabilities = frozenset(
        {
            Capability.PAUSE,
            Capability.RESET,
            Capability.RESIZE,
            Capability.RENAME,
            Capability.RECONFIGURE,
            Capability.SAVE,
            Capability.VOLUME,
            Capability.NETWORK_ATTACH,
            Capability.SNAPSHOT,
            Capability.CLONE,
            Capability.BACKUP,
            Capability.EXPORT,
            Capability.IMPORT,
            Capability.MIGRATE,
            Capability.EXEC,
            Capability.CONSOLE,
            Capability.GRAPHICS,
            Capability.SCREENSHOT,
            Capability.LOGS,
            Capability.STATS,
            Capability.EVENTS,
            Capability.IMAGE,
            Capability.NETWORK,
        }
    )

    resource_kinds = frozenset({"pool", "volume", "image", "network"})
    logs_have_times = False
    # Guests are computers: the plug is pulled only by somebody who says so.
    stop_forces = False
    address_kinds = ("ssh", "tls", "uri")
    address_forms = MappingProxyType(
        {
            "tls": "qemu+tls://{host}:{port}/system",
            "plain": "qemu+tcp://{host}:{port}/system",
            "ssh": "qemu+ssh://{login}{host}:{port}/system",
        }
    )
    address_ports = MappingProxyType({"tls": address.TLS_PORT, "plain": address.PLAIN_PORT, "ssh": 22})
    clone_linked = True
    snapshot_options = frozenset({"include_memory", "quiesce"})

    def __init__(self, node: NodeConfig) -> None:
        super().__init__(node)
        self._connection = Connection(node)
        self.networks = networks.Networks(self._connection)
        self._usage = stats.UsageReader(self._connection)
        # What only KVM has, each noun a facet of its own; the app's services and handlers use them.
        self.pools = Pools(self._connection)
        self.volumes = Volumes(self._connection)
        self.images = Images(self._connection, self.volumes)

    def close(self) -> None:
        self._connection.close()

    @classmethod
    def node_check(cls, access: NodeAccess) -> NodeAccess:
        return address.address_check(access)

    @classmethod
    def config_validate(cls, config: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
        return spec.config_check(config, allow_root_equivalent=allow_root_equivalent)

    def probe(self) -> NodeInfo:
        return host.node_info(self._connection, self.capabilities)

    def instance_list(self) -> list[InstanceInfo]:
        return domains.domain_list(self._connection)

    def instance_get(self, engine_id: str) -> InstanceInfo:
        return domains.domain_get(self._connection, engine_id)

    def instance_create(self, spec: InstanceSpec, report: Reporter) -> InstanceInfo:
        return create.domain_create(self._connection, spec, report)

    def instance_update(self, engine_id: str, resources: Resources, report: Reporter) -> InstanceInfo:
        report.progress(30, "Changing the limits")
        return resize.domain_update(self._connection, engine_id, resources)

    def instance_resize(self, engine_id: str, resources: Resources) -> frozenset[str]:
        return resize.resize_waits(self._connection, engine_id, resources)

    def instance_delete(self, engine_id: str, *, keep_storage: bool, report: Reporter) -> None:
        report.progress(30, "Removing the VM")
        remove.domain_delete(self._connection, engine_id, keep_storage=keep_storage)

    def instance_start(self, engine_id: str, report: Reporter) -> None:
        report.progress(30, "Starting the VM")
        lifecycle.domain_start(self._connection, engine_id)

    def instance_stop(self, engine_id: str, *, timeout_s: float, force: bool, report: Reporter) -> None:
        report.progress(30, "Forcing it off" if force else f"Pressing power, for up to {timeout_s:g} s")
        lifecycle.domain_stop(self._connection, engine_id, timeout_s, force, report)

    def instance_restart(self, engine_id: str, *, timeout_s: float, report: Reporter) -> None:
        report.progress(30, f"Pressing power, for up to {timeout_s:g} s")
        lifecycle.domain_stop(self._connection, engine_id, timeout_s, False, report)
        report.progress(85, "Starting the VM")
        lifecycle.domain_start(self._connection, engine_id)

    def instance_pause(self, engine_id: str, report: Reporter) -> None:
        lifecycle.domain_pause(self._connection, engine_id, paused=True)

    def instance_unpause(self, engine_id: str, report: Reporter) -> None:
        lifecycle.domain_pause(self._connection, engine_id, paused=False)

    def instance_rename(self, engine_id: str, name: str, report: Reporter) -> None:
        lifecycle.domain_rename(self._connection, engine_id, name)

    def instance_reset(self, engine_id: str, report: Reporter) -> None:
        lifecycle.domain_reset(self._connection, engine_id)

    def snapshot_list(self, engine_id: str, instance_id: str) -> list[SnapshotInfo]:
        return snapshots.snapshot_list(self._connection, engine_id)

    def snapshot_create(self, engine_id: str, wanted: SnapshotSpec, report: Reporter) -> SnapshotInfo:
        return snapshots.snapshot_create(self._connection, engine_id, wanted, report)

    def snapshot_delete(self, engine_id: str, instance_id: str, name: str, report: Reporter) -> None:
        snapshots.snapshot_delete(self._connection, engine_id, name, report)

    def snapshot_restore(self, engine_id: str, wanted: SnapshotSpec, report: Reporter) -> InstanceInfo:
        return snapshots.snapshot_restore(self._connection, engine_id, wanted, report)

    def clone_config(self, config: Mapping[str, Any], storage: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return clone.clone_config(config, storage)

    def instance_clone(
        self, source_id: str, spec: InstanceSpec, report: Reporter, *, linked: bool
    ) -> InstanceInfo:
        return clone.domain_clone(self._connection, source_id, spec, report, linked=linked)

    def instance_import(self, spec: InstanceSpec, wanted: ImportFile, report: Reporter) -> InstanceInfo:
        return imports.domain_import(self._connection, spec, wanted, report)

    def import_look(self, path: Path, wanted: str) -> ImportLook:
        """What is in a file that came from outside. Raises ``InvalidInput`` for what is not taken."""
        return imports.import_look(path, wanted)

    def instance_export(self, engine_id: str, wanted: ExportSpec, report: Reporter) -> ExportInfo:
        return export.domain_export(self._connection, engine_id, wanted, report)

    def instance_backup(
        self, engine_id: str, wanted: BackupSpec, sink: BackupSink, report: Reporter
    ) -> dict[str, Any]:
        return backups.domain_backup(self._connection, engine_id, wanted, sink, report)

    @staticmethod
    def backup_config(definition: Mapping[str, Any], wanted: RestoreNames) -> dict[str, Any]:
        return backups.backup_config(definition, wanted)

    @staticmethod
    def backup_omits(config: Mapping[str, Any], storage: Sequence[Mapping[str, Any]]) -> list[str]:
        return backups.backup_omits(config)

    def instance_restore(self, spec: InstanceSpec, source: BackupSource, report: Reporter) -> InstanceInfo:
        return backups.domain_restore(self._connection, spec, source, report)

    def instance_save(self, engine_id: str, report: Reporter) -> None:
        lifecycle.domain_save(self._connection, engine_id, report)

    def instance_save_discard(self, engine_id: str) -> None:
        lifecycle.domain_save_discard(self._connection, engine_id)

    @classmethod
    def reconfigure_validate(
        cls, changes: Mapping[str, Any], *, allow_root_equivalent: bool
    ) -> dict[str, Any]:
        return spec.changes_check(changes)

    def instance_reconfigure(self, engine_id: str, changes: Mapping[str, Any], report: Reporter) -> None:
        definition.domain_reconfigure(self._connection, engine_id, changes)

    @classmethod
    def storage_asked(cls, config: Mapping[str, Any], asked: int | None) -> int | None:
        return spec.storage_asked(config) or asked

    @classmethod
    def storage_validate(cls, wanted: Mapping[str, Any]) -> dict[str, Any]:
        return hardware_spec.join_check(wanted)

    def storage_attach(self, engine_id: str, join: StorageJoin, report: Reporter) -> str:
        wanted = hardware_spec.join_disk(join)
        return devices.disk_attach(self._connection, engine_id, wanted, report)

    def storage_detach(self, engine_id: str, name: str, *, delete: bool, report: Reporter) -> None:
        devices.disk_detach(self._connection, engine_id, name, delete_storage=delete, report=report)

    def network_attach(self, engine_id: str, join: NetworkJoin, grants: Grants, project_id: str) -> None:
        devices.network_join(self._connection, engine_id, join)

    def network_detach(self, engine_id: str, network: str, *, force: bool) -> None:
        devices.network_leave(self._connection, engine_id, network)

    @property
    def machines(self) -> Machines:
        """What only machines have: drives, NICs one by one, limits of devices, the definition itself."""
        return Machines(self._connection)

    def migrate_plan(self, engine_id: str, target: Backend, wanted: MigrateSpec) -> MigratePlan:
        return migrate.migrate_plan(self._connection, _connection_of(target), engine_id, wanted)

    def instance_migrate(
        self, engine_id: str, target: Backend, plan: Mapping[str, Any], report: Reporter
    ) -> None:
        migrate.migrate(self._connection, _connection_of(target), engine_id, plan, report)

    def migrate_settle(self, engine_id: str, target: Backend, plan: Mapping[str, Any]) -> MigrateOutcome:
        return migrate.settle(self._connection, _connection_of(target), engine_id, plan)

    def usage(self, engine_id: str) -> Usage:
        return self._usage.one(engine_id)

    def usage_all(self) -> dict[str, Usage]:
        return self._usage.all()

    def host_usage(self) -> Usage | None:
        return self._usage.host()

    def undo(self, step: UndoStep) -> None:
        undo.step_undo(self._connection, step)

    def events(self, stop: threading.Event, ready: Callable[[], None]) -> Iterator[EngineEvent]:
        return events.events_follow(self._connection, stop, ready)

    def logs_read(self, engine_id: str, query: LogQuery) -> list[LogLine]:
        return logs.logs_read(self._connection, engine_id, query)

    async def logs_follow(self, engine_id: str, query: LogQuery) -> AsyncIterator[list[LogLine]]:
        async for lines in logs.logs_follow(self._connection, engine_id, query):
            yield lines

    async def console_open(self, engine_id: str, *, force: bool) -> ByteStream:
        return await console.console_open(self._connection, engine_id, force=force)

    async def exec_run(self, engine_id: str, wanted: ExecSpec) -> ExecResult:
        return await guest.exec_run(self._connection, engine_id, wanted)

    def seed_get(self, engine_id: str) -> dict[str, str] | None:
        return seeds.seed_get(self._connection, engine_id)

    def seed_put(self, engine_id: str, files: Mapping[str, str], report: Reporter) -> bool:
        return seeds.seed_put(self._connection, engine_id, files, report)

    def guest_info(self, engine_id: str) -> dict[str, Any]:
        return guest.guest_info(self._connection, engine_id)

    def guest_file_read(self, engine_id: str, path: str) -> bytes:
        return guest.file_read(self._connection, engine_id, path)

    def guest_file_write(self, engine_id: str, path: str, data: bytes) -> None:
        guest.file_write(self._connection, engine_id, path, data)

    async def graphics_open(self, engine_id: str) -> ByteStream:
        return await graphics.graphics_open(self._connection, engine_id)

    def screenshot(self, engine_id: str) -> bytes:
        return graphics.screenshot(self._connection, engine_id)

    def image_list(self) -> list[ImageInfo]:
        return host.image_list(self._connection)

    def demo_image_make(self, report: Reporter, *, renew: bool = False) -> str:
        return demo.demo_image_make(self._connection, report, renew=renew)

    def resource_list(self, kind: str) -> list[ResourceInfo]:
        listed = {
            "pool": self.pools.list,
            "volume": self.volumes.list,
            "image": self.images.list,
            "network": self.networks.list,
        }
        return listed[kind]()

    def network_list(self) -> list[HostNetwork]:
        return self.networks.names()


def _connection_of(target: Backend) -> Connection:
    if not isinstance(target, KvmBackend):
        raise InvalidInput.field("node", f"is a {target.name} node; a VM moves between libvirt hosts.")
    return target._connection
