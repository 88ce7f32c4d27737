"""Docker behind LibGo's contract: short methods over ``engine/``."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from asgiref.sync import sync_to_async

from compute.backends.backup import BackupSink, BackupSource, BackupSpec, RestoreNames
from compute.backends.base import Backend
from compute.backends.capabilities import Capability
from compute.backends.host import HostReader
from compute.backends.types import (
    ByteStream,
    EngineEvent,
    ExecResult,
    ExecSpec,
    FileEntry,
    FileListing,
    FileWrite,
    Grants,
    HostNetwork,
    ImageInfo,
    InstanceInfo,
    InstanceSpec,
    LogLine,
    LogQuery,
    NetworkJoin,
    NodeAccess,
    NodeConfig,
    NodeInfo,
    Reporter,
    ResourceInfo,
    Resources,
    SessionSpec,
    SnapshotInfo,
    SnapshotSpec,
    UndoStep,
    Usage,
)
from compute.states import InstanceState, InstanceType
from dockerapp.engine import (
    backups,
    build,
    claims,
    demo,
    events,
    exec_once,
    host,
    lifecycle,
    logs,
    replace,
    session_marks,
    snapshots,
    spec,
    stats,
    terminal,
)
from dockerapp.engine.address import address_check
from dockerapp.engine.client import EngineClient
from dockerapp.engine.containers import Containers
from dockerapp.engine.errors import answer_errors
from dockerapp.engine.files import Files
from dockerapp.engine.helpers import Helpers
from dockerapp.engine.images import Images
from dockerapp.engine.layer_sizes import LayerSizes
from dockerapp.engine.networks import Networks
from dockerapp.engine.stacks import UNDO_STACK, Stacks
from dockerapp.engine.system import System
from dockerapp.engine.volumes import Volumes


class DockerBackend(Backend):
    name = "docker"
    title = "Docker"
    supported_types = frozenset({InstanceType.CONTAINER})
    capabilities = frozenset(
        {
            Capability.PAUSE,
            Capability.KILL,
            Capability.RESIZE,
            Capability.RENAME,
            Capability.RECONFIGURE,
            Capability.SNAPSHOT,
            Capability.CLONE,
            Capability.BACKUP,
            Capability.EXEC,
            Capability.TERMINAL,
            Capability.ATTACH,
            Capability.LOGS,
            Capability.STATS,
            Capability.EVENTS,
            Capability.FILES,
            Capability.IMAGE,
            Capability.NETWORK,
            Capability.NETWORK_ATTACH,
        }
    )

    resource_kinds = frozenset({"image", "network", "volume"})
    address_kinds = ("socket", "tls", "ssh")

    def __init__(self, node: NodeConfig) -> None:
        super().__init__(node)
        self._client = EngineClient(node)
        # What only Docker has, each noun a facet of its own; the app's services and handlers use them.
        self.files = Files(self._client)
        self.helpers = Helpers(self._client)
        self._usage = stats.UsageReader(self._client)
        self._host = HostReader()
        self.containers = Containers(self._client, self._usage)
        self._layers = LayerSizes(self.containers.sizes, node.layer_sizes_every_s)
        self.images = Images(self._client)
        self.networks = Networks(self._client)
        self.volumes = Volumes(self._client)
        self.stacks = Stacks(self._client)
        self.system = System(self._client)

    def close(self) -> None:
        self._client.close()

    @classmethod
    def node_check(cls, access: NodeAccess) -> NodeAccess:
        return address_check(access)

    @classmethod
    def config_validate(cls, config: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
        return spec.config_check(config, allow_root_equivalent=allow_root_equivalent)

    @classmethod
    def changes_validate(cls, changes: Mapping[str, Any], *, allow_root_equivalent: bool) -> dict[str, Any]:
        """Some keys of a configuration, for a container that takes the place of another."""
        return spec.changes_check(changes, allow_root_equivalent=allow_root_equivalent)

    def probe(self) -> NodeInfo:
        return host.node_info(self._client, self.capabilities)

    def instance_list(self) -> list[InstanceInfo]:
        return lifecycle.container_list(self._client)

    def instance_get(self, engine_id: str) -> InstanceInfo:
        return lifecycle.container_get(self._client, engine_id)

    def instance_create(self, spec: InstanceSpec, report: Reporter) -> InstanceInfo:
        return lifecycle.container_create(self._client, spec, report)

    def instance_update(self, engine_id: str, resources: Resources, report: Reporter) -> InstanceInfo:
        report.progress(30, "Changing the limits")
        return lifecycle.container_update(self._client, engine_id, resources)

    def instance_resize(self, engine_id: str, resources: Resources) -> frozenset[str]:
        return frozenset()

    def instance_delete(self, engine_id: str, *, keep_storage: bool, report: Reporter) -> None:
        report.progress(30, "Removing the container")
        lifecycle.container_remove(self._client, engine_id, volumes=not keep_storage)

    def instance_start(self, engine_id: str, report: Reporter) -> None:
        report.progress(30, "Starting the container")
        lifecycle.container_start(self._client, engine_id)

    def instance_stop(self, engine_id: str, *, timeout_s: float, force: bool, report: Reporter) -> None:
        report.progress(30, "Killing it" if force else f"Asking it to stop, for up to {timeout_s:g} s")
        lifecycle.container_stop(self._client, engine_id, timeout_s, force)

    def instance_restart(self, engine_id: str, *, timeout_s: float, report: Reporter) -> None:
        report.progress(30, "Restarting the container")
        lifecycle.container_restart(self._client, engine_id, timeout_s)

    def instance_pause(self, engine_id: str, report: Reporter) -> None:
        lifecycle.container_pause(self._client, engine_id, paused=True)

    def instance_unpause(self, engine_id: str, report: Reporter) -> None:
        lifecycle.container_pause(self._client, engine_id, paused=False)

    def instance_kill(self, engine_id: str, signal: str, report: Reporter) -> None:
        lifecycle.container_kill(self._client, engine_id, signal)

    def instance_rename(self, engine_id: str, name: str, report: Reporter) -> None:
        lifecycle.container_rename(self._client, engine_id, name)

    @classmethod
    def reconfigure_validate(
        cls, changes: Mapping[str, Any], *, allow_root_equivalent: bool
    ) -> dict[str, Any]:
        return spec.reconfigure_check(changes, allow_root_equivalent=allow_root_equivalent)

    def instance_reconfigure(self, engine_id: str, changes: Mapping[str, Any], report: Reporter) -> None:
        lifecycle.container_update(self._client, engine_id, Resources(), changes)

    def snapshot_list(self, engine_id: str, instance_id: str) -> list[SnapshotInfo]:
        return snapshots.snapshot_list(self._client, instance_id)

    def snapshot_create(self, engine_id: str, wanted: SnapshotSpec, report: Reporter) -> SnapshotInfo:
        return snapshots.snapshot_create(self._client, self.containers, engine_id, wanted, report)

    def snapshot_delete(self, engine_id: str, instance_id: str, name: str, report: Reporter) -> None:
        snapshots.snapshot_delete(self._client, instance_id, name)

    def snapshot_restore(self, engine_id: str, wanted: SnapshotSpec, report: Reporter) -> InstanceInfo:
        return snapshots.snapshot_restore(self._client, engine_id, wanted, report)

    def clone_config(self, config: Mapping[str, Any], storage: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return spec.clone_config(config)

    def instance_backup(
        self, engine_id: str, wanted: BackupSpec, sink: BackupSink, report: Reporter
    ) -> dict[str, Any]:
        return backups.container_backup(self._client, self.containers, engine_id, wanted, sink, report)

    @staticmethod
    def backup_config(definition: Mapping[str, Any], wanted: RestoreNames) -> dict[str, Any]:
        return backups.backup_config(definition, wanted)

    @staticmethod
    def backup_omits(config: Mapping[str, Any], storage: Sequence[Mapping[str, Any]]) -> list[str]:
        return backups.backup_omits(storage)

    def instance_restore(self, spec: InstanceSpec, source: BackupSource, report: Reporter) -> InstanceInfo:
        return backups.container_restore(self._client, self.containers, spec, source, report)

    def usage(self, engine_id: str) -> Usage:
        return self._usage.one(engine_id)

    def usage_all(self) -> dict[str, Usage]:
        running = (InstanceState.RUNNING, InstanceState.PAUSED)
        ids = [info.engine_id for info in self.instance_list() if info.state in running]
        return self._usage.all(ids, self._layers.known())

    def host_usage(self) -> Usage | None:
        return self._host.read() if self._client.is_local else None

    def undo(self, step: UndoStep) -> None:
        if step.kind == UNDO_STACK:
            self.stacks.undo(step)
            return
        if step.kind in (claims.UNDO_NETWORK, claims.UNDO_VOLUME):
            claims.claim_undo(self._client, step)
            return
        if step.kind in (build.UNDO_BUILD, build.UNDO_TAG):
            build.build_undo(self._client, step)
            return
        if step.kind == snapshots.UNDO_SNAPSHOT:
            snapshots.snapshot_undo(self._client, step)
            return
        if step.kind in (backups.UNDO_LOADED, backups.UNDO_HELPERS):
            backups.restore_undo(self._client, step)
            return
        undo = replace.replace_undo if step.kind == replace.UNDO_REPLACE else lifecycle.container_undo
        undo(self._client, step)

    def events(self, stop: threading.Event, ready: Callable[[], None]) -> Iterator[EngineEvent]:
        return events.events_follow(self._client, stop, ready)

    def logs_read(self, engine_id: str, query: LogQuery) -> list[LogLine]:
        return logs.logs_read(self._client, engine_id, query)

    async def logs_follow(self, engine_id: str, query: LogQuery) -> AsyncIterator[list[LogLine]]:
        has_terminal = await sync_to_async(logs.terminal_of, thread_sensitive=False)(self._client, engine_id)
        async with aclosing(logs.logs_follow(self._client, engine_id, query, not has_terminal)) as batches:
            async for lines in batches:
                yield lines

    async def exec_open(self, engine_id: str, wanted: SessionSpec) -> ByteStream:
        return await terminal.exec_open(self._client, engine_id, wanted)

    def sessions_end(self) -> int:
        """End the sessions whose process was killed; how many."""
        return session_marks.sessions_end(self._client)

    async def attach_open(self, engine_id: str) -> ByteStream:
        return await terminal.attach_open(self._client, engine_id)

    async def file_stat(self, engine_id: str, path: str) -> FileEntry:
        return await self.files.stat(engine_id, path)

    async def file_list(self, engine_id: str, path: str, limit: int) -> FileListing:
        return await self.files.list(engine_id, path, limit)

    def file_read(self, engine_id: str, path: str, size: int, start: int, count: int) -> AsyncIterator[bytes]:
        return self.files.file_read(engine_id, path, size, start, count)

    async def file_write(
        self, engine_id: str, path: str, chunks: AsyncIterator[bytes], wanted: FileWrite
    ) -> FileEntry:
        return await self.files.file_write(engine_id, path, chunks, wanted)

    async def file_remove(self, engine_id: str, path: str, *, recursive: bool) -> None:
        await self.files.remove(engine_id, path, recursive=recursive)

    async def file_rename(self, engine_id: str, path: str, to: str) -> None:
        await self.files.rename(engine_id, path, to)

    async def folder_make(
        self, engine_id: str, path: str, *, mode: int | None, uid: int | None, gid: int | None
    ) -> None:
        await self.files.folder_make(engine_id, path, mode=mode, uid=uid, gid=gid)

    def tree_read(self, engine_id: str, path: str) -> AsyncIterator[bytes]:
        return self.files.tree_read(engine_id, path)

    async def tree_write(
        self, engine_id: str, path: str, chunks: AsyncIterator[bytes], *, allow_special: bool
    ) -> dict[str, int]:
        return await self.files.tree_write(engine_id, path, chunks, allow_special=allow_special)

    async def exec_run(self, engine_id: str, wanted: ExecSpec) -> ExecResult:
        return await exec_once.exec_run(self._client, engine_id, wanted)

    def image_list(self) -> list[ImageInfo]:
        return host.image_list(self._client)

    def demo_image_make(self, report: Reporter, *, renew: bool = False) -> str:
        return demo.demo_image_make(self._client, report)

    def resource_list(self, kind: str) -> list[ResourceInfo]:
        listed = {"image": self.images.list, "network": self.networks.list, "volume": self.volumes.list}
        if kind not in listed:
            return super().resource_list(kind)
        with answer_errors(f"a {kind}"):
            return listed[kind]()

    def network_list(self) -> list[HostNetwork]:
        return host.network_list(self._client)

    def network_attach(self, engine_id: str, join: NetworkJoin, grants: Grants, project_id: str) -> None:
        self.networks.attach(engine_id, join, grants, project_id)

    def network_detach(self, engine_id: str, network: str, *, force: bool) -> None:
        self.networks.detach(engine_id, network, force=force)
