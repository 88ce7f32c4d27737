"""Files of containers and volumes, in and out. Content needs the permission ``export``; whoever may not
be inside a container may not have its files either, and a volume of the host is for administrators.

What streams runs in the event loop of the web process; rights are asked for again on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings

from compute.actor import Actor
from compute.audit import audit
from compute.backends.capabilities import Capability
from compute.backends.types import FileEntry, FileWrite
from compute.errors import (
    BackendError,
    ComputeError,
    InvalidInput,
    InvalidState,
    NotFound,
    OperationNotSupported,
    PolicyDenied,
    PreconditionFailed,
)
from compute.models import Node, Resource
from compute.selectors.access import action_require
from compute.services.nodes import node_require
from dockerapp.selectors.containers import container_get
from dockerapp.selectors.files import entry_dict, entry_tag
from dockerapp.selectors.nodes import docker_of
from dockerapp.selectors.volumes import volume_row
from dockerapp.services.policy import container_content_policy
from dockerapp.spool import Spooled, ahead, spooled

if TYPE_CHECKING:
    from dockerapp.backend import DockerBackend

Chunks = AsyncIterator[bytes]
Stream = AsyncGenerator[bytes, None]
T = TypeVar("T")

UPLOAD_MAX_BYTES = 64 * 1024**3
LIST_DEFAULT, LIST_MAX = 1000, 5000
_OWNER_MAX = 2**31 - 1


@dataclass(frozen=True)
class Place:
    """Whose files are meant; the actor was seen to be allowed to have them."""

    actor: Actor
    node: Node
    name: str
    uid: uuid.UUID
    project_id: uuid.UUID | None
    engine_id: str
    noun: str = "container"
    # The name of the volume; there is no container then.
    volume: str = ""


@dataclass(frozen=True)
class _Ground:
    """What the engine is asked with: a container, and where in it the place's root is."""

    backend: DockerBackend
    engine_id: str
    root: str = ""

    def path(self, path: str) -> str:
        return self.root + path if path != "/" else self.root or "/"


@dataclass(frozen=True)
class FileSend:
    """How a file comes: where to, and what must hold before: ``if_match`` an entry's tag, ``is_new``
    that nothing is there."""

    path: str
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    if_match: str = ""
    is_new: bool = False


def container_place(actor: Actor, wanted: str, node: str = "") -> Place:
    """Raises ``ContainerNotFound``, ``PermissionDenied``, ``PolicyDenied``, ``OperationNotSupported``,
    ``BackendUnavailable``."""
    row = container_get(actor, wanted, node)
    action_require(actor, "instance.files", row.project_id)
    if str(Capability.FILES) not in row.node.capabilities:
        raise OperationNotSupported(
            f"The node {row.node.name} cannot do this (files).", capability=str(Capability.FILES)
        )
    node_require(row.node)
    container_content_policy(actor, row)
    if not row.engine_id:
        raise InvalidState(f"{row.name} is not there yet.", state=row.state)
    return Place(actor, row.node, row.name, row.pk, row.project_id, row.engine_id)


def volume_place(actor: Actor, wanted: str, node: str = "") -> Place:
    """Raises ``VolumeNotFound``, ``PermissionDenied``, ``PolicyDenied``, ``OperationNotSupported``,
    ``BackendUnavailable``."""
    row = volume_row(actor, wanted, node)
    _volume_permit(actor, row)
    options = row.data.get("options") or {}
    if not actor.is_admin and options.get("device") and options.get("type") != "tmpfs":
        raise PolicyDenied(
            f"{row.name} is a place of the host under the name of a volume. Only administrators may look "
            "into it.",
            rule="host_path",
        )
    if str(Capability.FILES) not in row.node.capabilities:
        raise OperationNotSupported(
            f"The node {row.node.name} cannot do this (files).", capability=str(Capability.FILES)
        )
    node_require(row.node)
    return Place(actor, row.node, row.name, row.pk, row.project_id, "", "volume", row.name)


def still_allowed(place: Place, actor: Actor) -> None:
    """``actor`` is who asked, with the rights of now. Raises ``ComputeError`` once the right is gone."""
    if place.volume:
        _volume_permit(actor, volume_row(actor, str(place.uid)))
        return
    container_get(actor, str(place.uid))
    action_require(actor, "instance.files", place.project_id)


async def entry_get(place: Place, path: str, *, follow: bool = True) -> FileEntry:
    """Of a symlink, with ``follow``, what it leads to."""
    async with _opened(place) as at:
        return await at.backend.files.stat(at.engine_id, at.path(path), follow=follow)


async def folder_list(place: Place, path: str, limit: int) -> dict[str, Any]:
    """``{"path", "entries", "truncated", "method"}``"""
    async with _opened(place, tools=True) as at:
        found = await at.backend.files.list(at.engine_id, at.path(path), limit)
    return {
        "path": path,
        "entries": [entry_dict(entry) for entry in found.entries],
        "truncated": found.truncated,
        "method": found.method,
    }


async def file_read(place: Place, path: str, entry: FileEntry, start: int, count: int) -> Stream:
    async with _opened(place) as at:
        chunks = at.backend.files.file_read(at.engine_id, at.path(path), entry.size, start, count)
        async with aclosing(ahead(chunks, _spool())) as stream:
            async for chunk in stream:
                yield chunk


async def tree_read(place: Place, path: str) -> Stream:
    async with _opened(place) as at:
        # Of a whole volume what is in it, so that it can be unpacked at the root of another.
        wanted = f"{at.root}/." if at.root and path == "/" else at.path(path)
        chunks = at.backend.files.tree_read(at.engine_id, wanted)
        async with aclosing(ahead(chunks, _spool())) as stream:
            async for chunk in stream:
                yield chunk


async def tree_write(place: Place, path: str, chunks: Chunks) -> dict[str, Any]:
    """Unpack a plain tar into a folder, once all of it is here and was looked through."""
    allow = place.actor.is_admin

    async def write() -> dict[str, Any]:
        checked = docker_of(place.node).files.tree_checked(chunks, allow_special=allow)
        async with spooled(checked, _spool(), UPLOAD_MAX_BYTES) as body:
            async with _opened(place, writes=True) as at:
                return await at.backend.files.tree_write(
                    at.engine_id, at.path(path), body.chunks(), allow_special=allow, size=body.size
                )

    return await _audited(place, "archive.write", {"path": path}, write())


async def file_write(place: Place, send: FileSend, chunks: Chunks) -> tuple[bool, FileEntry]:
    """Whether it is new, and what is there now. Nothing is touched before all of the body is here."""
    details: dict[str, Any] = {"path": send.path}

    async def write() -> tuple[bool, FileEntry]:
        # Before: a body in vain is not waited for. After: it may have taken its time.
        async with _opened(place) as at:
            await _precondition(at, send)
        async with spooled(chunks, _spool(), UPLOAD_MAX_BYTES) as body:
            details["size"] = body.size
            async with _opened(place, writes=True) as at:
                return await _file_put(at, send, body)

    return await _audited(place, "file.write", details, write())


async def folder_make(place: Place, path: str, send: FileSend) -> FileEntry:
    async def make() -> FileEntry:
        async with _opened(place, writes=True, tools=True) as at:
            await at.backend.files.folder_make(
                at.engine_id, at.path(path), mode=send.mode, uid=send.uid, gid=send.gid
            )
        mode = 0o755 if send.mode is None else send.mode
        return FileEntry(path.rpartition("/")[2], "directory", 0, mode, send.uid or 0, send.gid or 0)

    return await _audited(place, "folder.create", {"path": path}, make())


async def file_remove(place: Place, path: str, *, recursive: bool) -> None:
    _root_refuse(path, "path")

    async def remove() -> None:
        async with _opened(place, writes=True, tools=True) as at:
            await at.backend.files.remove(at.engine_id, at.path(path), recursive=recursive)

    await _audited(place, "file.delete", {"path": path, "recursive": recursive}, remove())


async def file_rename(place: Place, path: str, to: str) -> None:
    _root_refuse(path, "path")
    _root_refuse(to, "to")
    if f"{to}/".startswith(f"{path}/"):
        raise InvalidInput.field("to", "must lie outside of what is renamed.")

    async def rename() -> None:
        async with _opened(place, writes=True, tools=True) as at:
            await at.backend.files.rename(at.engine_id, at.path(path), at.path(to))

    await _audited(place, "file.rename", {"path": path, "to": to}, rename())


def owner_checked(name: str, value: str) -> int:
    """A user or group id. Raises ``InvalidInput``."""
    if not value.isascii() or not value.isdigit() or int(value[:20]) > _OWNER_MAX:
        raise InvalidInput.field(name, f"must be a number from 0 to {_OWNER_MAX}.")
    return int(value)


def mode_checked(actor: Actor, name: str, value: str) -> int:
    """Permission bits such as ``644``; setuid and setgid are for administrators."""
    digits = value.removeprefix("0o")
    if not digits.isascii() or not digits or len(digits) > 5 or set(digits) - set("01234567"):
        raise InvalidInput.field(name, "must be permission bits in octal, such as 0644.")
    bits = int(digits, 8)
    if bits > 0o7777 or (bits & 0o6000 and not actor.is_admin):
        raise InvalidInput.field(name, "must be at most 0777; setuid and setgid are for administrators.")
    return bits


async def _file_put(at: _Ground, send: FileSend, body: Spooled) -> tuple[bool, FileEntry]:
    old = await _precondition(at, send)
    wanted = FileWrite(body.size, send.mode, send.uid, send.gid)
    made = await at.backend.files.file_write(at.engine_id, at.path(send.path), body.chunks(), wanted)
    return old is None, made


async def _precondition(at: _Ground, send: FileSend) -> FileEntry | None:
    """What is there. Raises ``PreconditionFailed``."""
    try:
        old = await at.backend.files.stat(at.engine_id, at.path(send.path))
    except NotFound:
        old = None
    if send.if_match and (old is None or send.if_match not in ("*", entry_tag(old))):
        message = f"“{send.path}” changed since you read it. Read it again, or save it elsewhere."
        raise PreconditionFailed(message, path=send.path)
    if send.is_new and old is not None:
        raise PreconditionFailed(f"There is already a “{send.path}”.", path=send.path)
    return old


@asynccontextmanager
async def _opened(place: Place, *, writes: bool = False, tools: bool = False) -> AsyncIterator[_Ground]:
    """A container as it is; for a volume a helper that mounts it, started only when ``tools`` are
    needed, and removed at the end."""
    backend = docker_of(place.node)
    if not place.volume:
        yield _Ground(backend, place.engine_id)
        return
    helpers = backend.helpers
    engine_id = await _helper_make(place, writable=writes)
    try:
        if tools:
            # Without a shell in it, it is looked through by its archive instead.
            with contextlib.suppress(BackendError, InvalidInput):
                await asyncio.to_thread(helpers.start, engine_id)
        yield _Ground(backend, engine_id, helpers.root)
    except ComputeError as error:
        error.message = error.message.replace(f"{helpers.root}/", "/").replace(helpers.root, "/")
        error.args = (error.message,)
        error.details = {key: _unrooted(value, helpers.root) for key, value in error.details.items()}
        raise
    finally:
        await asyncio.shield(asyncio.to_thread(helpers.remove, engine_id))


async def _helper_make(place: Place, *, writable: bool) -> str:
    """Whoever is cancelled while it is made still has it removed."""
    helpers, loop = docker_of(place.node).helpers, asyncio.get_running_loop()
    make = partial(helpers.make, place.volume, project_id=str(place.project_id or ""), writable=writable)
    making = loop.run_in_executor(None, make)

    def remove(done: asyncio.Future[str]) -> None:
        if not done.cancelled() and done.exception() is None:
            loop.run_in_executor(None, helpers.remove, done.result())

    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        making.add_done_callback(remove)
        raise


def _unrooted(value: Any, root: str) -> Any:
    return (value.removeprefix(root) or "/") if isinstance(value, str) else value


def _volume_permit(actor: Actor, row: Resource) -> None:
    action_require(actor, "volume.content", row.project_id)


def _spool() -> Path:
    return Path(settings.VAR_DIR) / "spool"


async def _audited(place: Place, action: str, details: dict[str, Any], work: Awaitable[T]) -> T:
    """Carry it out and leave one row, however it ends."""
    result = "interrupted"
    try:
        outcome = await work
        result = "ok"
        return outcome
    except ComputeError as error:
        result = error.code
        raise
    finally:
        await sync_to_async(audit, thread_sensitive=False)(
            place.actor,
            f"{place.noun}.{action}",
            place.name,
            target_uid=place.uid,
            result=result,
            details={key: _storable(value) for key, value in details.items()},
        )


def _storable(value: Any) -> Any:
    return value[:500] if isinstance(value, str) else value


def _root_refuse(path: str, field: str) -> None:
    if path == "/":
        raise InvalidInput.field(field, "must not be the root folder.")
