"""Files of a container, streamed: whole trees as tar, single files, folders.

Everything here runs in an event loop. Trees and files go through the engine's archive calls, which
also work while the container is stopped and see it as root does, never leaving its file system.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import stat
import tarfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Any

import aiodocker
import aiohttp

from compute.backends.types import FileEntry, FileListing, FileWrite
from compute.errors import (
    BackendError,
    BackendUnavailable,
    ComputeError,
    InstanceNotFound,
    InvalidInput,
    InvalidState,
    NameConflict,
    NotFound,
)
from dockerapp.engine.client import EngineClient
from dockerapp.engine.errors import reason
from dockerapp.engine.inspect import time_parse
from dockerapp.engine.shell import NoShell, shell_list, shell_mkdir, shell_remove, shell_rename
from dockerapp.engine.tar import BLOCK, END, TarFilter, TarParser, header, printable
from dockerapp.engine.walk import Walk

Chunks = AsyncIterator[bytes]
Stream = AsyncGenerator[bytes, None]

_CHUNK = 512 * 1024
_READ_S, _WRITE_S = 120.0, 600.0
_STAT_HEADER = "X-Docker-Container-Path-Stat"
# These the kernel makes up, or they live in memory: the engine sees only what lies beneath.
_KERNEL = ("/proc", "/sys", "/dev")
_MODE_FILE, _MODE_FOLDER = 0o644, 0o755
# Bits of Go's os.FileMode, which the engine tells.
_GO_TYPES = {
    1 << 31: "directory",
    1 << 27: "symlink",
    1 << 26: "device",
    1 << 25: "fifo",
    1 << 24: "socket",
    1 << 21: "device",
}
_GO_BITS = {1 << 23: stat.S_ISUID, 1 << 22: stat.S_ISGID, 1 << 20: stat.S_ISVTX}


class Files:
    """What one engine can do with the files of a container. Every path is absolute and was checked by
    ``dockerapp.paths``; every method raises only ``ComputeError``."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client

    async def stat(self, engine_id: str, path: str, *, follow: bool = True) -> FileEntry:
        """What is there; of a symlink, with ``follow``, what it leads to inside the container."""
        entry, real = await self._look(engine_id, path)
        if follow and entry.type == "symlink":
            entry, _ = await self._look(engine_id, real)
        return entry

    async def list(self, engine_id: str, path: str, limit: int) -> FileListing:
        """With the container's own tools while it runs and has them, else by looking through its
        archive for a while, which may not find everything."""
        try:
            return await shell_list(self._client, engine_id, path, limit)
        except NoShell:
            return await self.walk(engine_id, path, limit)

    async def walk(self, engine_id: str, path: str, limit: int) -> FileListing:
        """By the headers of the folder's archive, given up after some time and bytes."""
        entry, real = await self._look(engine_id, path)
        if entry.type == "symlink":
            entry, _ = await self._look(engine_id, real)
        if entry.type != "directory":
            raise InvalidState(f"“{printable(path)}” is no folder.", path=path)
        walk = Walk(limit)
        async with self._get(engine_id, real) as chunks:
            async for chunk in chunks:
                if not walk.feed(chunk):
                    break
        return walk.listing()

    async def tree_read(self, engine_id: str, path: str) -> Stream:
        """The tar of a file or a whole folder, as the engine makes it."""
        async with self._get(engine_id, path) as chunks:
            async for chunk in chunks:
                yield chunk

    async def tree_write(
        self, engine_id: str, path: str, chunks: Chunks, *, allow_special: bool, size: int | None = None
    ) -> dict[str, int]:
        """Unpack a plain tar into the folder ``path``. ``{"entries", "content_bytes"}`` of it. ``size``: of
        one that ``tree_checked`` gave, which stays as it is."""
        await self._reachable(engine_id, path)
        tar = TarFilter(allow_special=allow_special)
        await self._put(engine_id, path, _filtered(tar, chunks), size)
        return {"entries": tar.entries, "content_bytes": tar.content_bytes}

    def tree_checked(self, chunks: Chunks, *, allow_special: bool) -> Stream:
        """The same archive as ``tree_write`` would send it, or its refusal."""
        return _filtered(TarFilter(allow_special=allow_special), chunks)

    async def file_read(self, engine_id: str, path: str, size: int, start: int, count: int) -> Stream:
        """``count`` bytes from ``start`` of a regular file that was seen to have ``size`` bytes."""
        parser, skip, left = TarParser(), start, count
        is_found = False
        _, real = await self._look(engine_id, path)
        async with self._get(engine_id, real) as chunks:
            async for chunk in chunks:
                for item in parser.feed(chunk):
                    if isinstance(item, tarfile.TarInfo):
                        if not item.isreg() or item.size != size:
                            raise InvalidState(f"“{printable(path)}” changed meanwhile. Try again.")
                        is_found = True
                        continue
                    piece = item[skip : skip + left]
                    skip = max(0, skip - len(item))
                    left -= len(piece)
                    if piece:
                        yield piece
                if is_found and not left:
                    return
        if left:
            raise BackendError(f"The engine did not send all of “{printable(path)}”.")

    async def file_write(self, engine_id: str, path: str, chunks: Chunks, wanted: FileWrite) -> FileEntry:
        """Create or replace one regular file; through a symlink what it leads to. What is there keeps
        its owner and mode unless told otherwise."""
        await self._reachable(engine_id, path)
        path, old = await self._file_there(engine_id, path)
        info = tarfile.TarInfo(PurePosixPath(path).name)
        info.size = wanted.size
        info.mode = _first(wanted.mode, old and old.mode, _MODE_FILE)
        info.uid, info.gid = _first(wanted.uid, old and old.uid, 0), _first(wanted.gid, old and old.gid, 0)
        # With its fraction, so that two writes within a second are told apart.
        info.mtime = time.time()

        async def packed() -> Chunks:
            yield header(info)
            left = wanted.size
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    raise InvalidInput("The body is longer than was announced.")
                yield chunk
            if left:
                raise InvalidInput("The body is shorter than was announced.")
            yield bytes(-wanted.size % BLOCK) + END

        await self._put(engine_id, _parent(path), packed())
        made = await self.stat(engine_id, path)
        if made.size != wanted.size:
            raise BackendError(f"“{printable(path)}” was written, but is not there as it was sent.")
        return made

    async def folder_make(
        self, engine_id: str, path: str, *, mode: int | None, uid: int | None, gid: int | None
    ) -> None:
        """Raises ``NameConflict`` when something is there, ``NotFound`` without the folder above."""
        owner, bits = f"{uid or 0}:{gid or 0}", _first(mode, _MODE_FOLDER)
        try:
            await shell_mkdir(self._client, engine_id, path, bits, owner)
            return
        except NoShell:
            await self._reachable(engine_id, path)
        if await self._is_there(engine_id, path):
            raise NameConflict(f"There is already a “{printable(path)}”.", path=path)
        info = tarfile.TarInfo(PurePosixPath(path).name)
        info.type, info.mode, info.uid, info.gid, info.mtime = (
            tarfile.DIRTYPE,
            bits,
            uid or 0,
            gid or 0,
            int(time.time()),
        )

        async def packed() -> Chunks:
            yield header(info) + END

        await self._put(engine_id, _parent(path), packed())

    async def remove(self, engine_id: str, path: str, *, recursive: bool) -> None:
        """Only in a running container that has a shell: the engine itself removes nothing. Raises
        ``InvalidState`` where there is none, and for a folder that is not empty."""
        await shell_remove(self._client, engine_id, path, recursive=recursive)

    async def rename(self, engine_id: str, path: str, to: str) -> None:
        """As ``remove``. Raises ``NameConflict`` when there is something at ``to``."""
        await shell_rename(self._client, engine_id, path, to)

    # -- how -----------------------------------------------------------------------------------

    async def _look(self, engine_id: str, path: str) -> tuple[FileEntry, str]:
        """An entry, and the path it leads to if it is a symlink (else its own)."""
        await self._reachable(engine_id, path)
        async with self._query("HEAD", engine_id, path, _READ_S) as response:
            doc = _stat_doc(response.headers.get(_STAT_HEADER, ""))
        if response.status != 200 or doc is None:
            raise await self._refusal(engine_id, path)
        entry = _stat_entry(doc)
        return entry, entry.link_target if entry.type == "symlink" else path

    async def _refusal(self, engine_id: str, path: str) -> ComputeError:
        """An answer to HEAD has no body: ask once more for the reason."""
        try:
            async with self._get(engine_id, path):
                return BackendError(f"Docker could not say what “{printable(path)}” is.")
        except ComputeError as error:
            return error

    async def _file_there(self, engine_id: str, path: str) -> tuple[str, FileEntry | None]:
        """The path a file of this name is really at, and what is there now."""
        try:
            entry, real = await self._look(engine_id, path)
            if entry.type == "symlink":
                entry, _ = await self._look(engine_id, real)
        except NotFound:
            return path, None
        if entry.type != "file":
            raise InvalidState(f"“{printable(path)}” is a {entry.type}, no file.", path=path)
        # Only the archive's own header tells the owner.
        async with self._get(engine_id, real) as chunks:
            parser = TarParser()
            async for chunk in chunks:
                for item in parser.feed(chunk):
                    if isinstance(item, tarfile.TarInfo):
                        found = FileEntry(
                            entry.name, "file", item.size, item.mode & 0o7777, item.uid, item.gid
                        )
                        return real, found
        return real, entry

    async def _is_there(self, engine_id: str, path: str) -> bool:
        try:
            await self._look(engine_id, path)
        except NotFound:
            return False
        return True

    async def _reachable(self, engine_id: str, path: str) -> None:
        """Raises ``InvalidState`` for what lives in memory: reading would tell lies, and what is written
        would vanish beneath."""
        # Not quick: the engine answers when it has read the archive that another asked for.
        doc = await asyncio.to_thread(self._client.call, lambda api: api.inspect_container(engine_id))
        host = doc.get("HostConfig") or {}
        mounts = [m.get("Destination", "") for m in doc.get("Mounts") or [] if m.get("Type") == "tmpfs"]
        for place in (*_KERNEL, *(host.get("Tmpfs") or {}), *mounts):
            if place and (path == place or path.startswith(f"{place.rstrip('/')}/")):
                raise InvalidState(
                    f"“{printable(place)}” lives in the memory of the running container, where the engine "
                    "reads and writes no files. Use a shell.",
                    path=path,
                )

    async def _put(self, engine_id: str, path: str, chunks: Chunks, size: int | None = None) -> None:
        """Raises what ``chunks`` raised when that is why it broke off. With a ``size`` told before, nothing
        has to be packed into the pieces of a body of unknown length."""
        failed: list[ComputeError] = []

        async def watched() -> Chunks:
            sent = 0
            try:
                async for chunk in chunks:
                    sent += len(chunk)
                    yield chunk
                if size is not None and sent != size:
                    raise BackendError(f"{sent} bytes were to be sent to the engine, but {size} were told.")
            except ComputeError as error:
                failed.append(error)
                raise

        try:
            async with self._query("PUT", engine_id, path, _WRITE_S, watched(), size) as response:
                if response.status >= 400:
                    raise await _refused(response, path)
        except ComputeError:
            if failed:
                raise failed[0] from None
            raise

    @asynccontextmanager
    async def _get(self, engine_id: str, path: str) -> AsyncIterator[Chunks]:
        async with self._query("GET", engine_id, path, _READ_S) as response:
            if response.status >= 400:
                raise await _refused(response, path)
            yield response.content.iter_chunked(_CHUNK)

    @asynccontextmanager
    async def _query(
        self,
        method: str,
        engine_id: str,
        path: str,
        read_s: float,
        data: Chunks | None = None,
        size: int | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One archive call on a connection of its own, which ends with it."""
        await asyncio.to_thread(self._client.negotiated)
        node = self._client.node
        docker = self._client.stream_client()
        timeout = aiohttp.ClientTimeout(
            total=None, connect=node.connect_timeout_s, sock_read=read_s, sock_connect=node.connect_timeout_s
        )
        params = {"path": path, **({"noOverwriteDirNonDir": "1"} if method == "PUT" else {})}
        url = docker._canonicalize_url(f"containers/{engine_id}/archive")
        # Else the engine compresses what it sends, at the price of most of its speed.
        headers = {"Content-Type": "application/x-tar", "Accept-Encoding": "identity"}
        if size is not None:
            headers["Content-Length"] = str(size)
        try:
            async with docker.session.request(
                method, url, params=params, data=data, headers=headers, timeout=timeout, read_bufsize=_CHUNK
            ) as response:
                yield response
        except asyncio.TimeoutError as error:
            raise BackendUnavailable(
                f"Docker on {node.name} did not answer in time.", node=node.name
            ) from error
        except (aiodocker.DockerError, aiohttp.ClientError, OSError) as error:
            raise BackendUnavailable(f"Docker on {node.name} ended the transfer.", node=node.name) from error
        finally:
            await docker.close()


async def _filtered(tar: TarFilter, chunks: Chunks) -> Stream:
    async for chunk in chunks:
        if piece := tar.feed(chunk):
            yield piece
    yield tar.finish()


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


async def _refused(response: aiohttp.ClientResponse, path: str) -> ComputeError:
    raw = (await response.content.read(4096)).decode("utf-8", "replace")
    try:
        text = str(json.loads(raw).get("message", ""))
    except (ValueError, AttributeError):
        text = raw
    return file_error(response.status, text, path)


# What the engine says, and what it means; the first that fits.
_MEANINGS: tuple[tuple[str, type[ComputeError], str], ...] = (
    ("no such container", InstanceNotFound, "The engine has no such container."),
    ("could not find the file", NotFound, "There is no “{path}”."),
    ("no such file or directory", NotFound, "There is no “{path}”."),
    ("not a directory", InvalidState, "“{path}” is no folder, or leads through a file."),
    ("cannot overwrite", InvalidState, "A folder cannot be replaced by a file, nor a file by a folder."),
    ("read-only", InvalidState, "“{path}” is read-only there."),
    ("no space left", BackendError, "The disk of the node is full."),
    ("too many levels", InvalidState, "“{path}” is a symlink that leads to itself."),
    ("file name too long", InvalidInput, "“{path}” is too long."),
    ("outside", InvalidInput, "An entry leads out of “{path}”."),
)


def file_error(status: int, text: str, path: str) -> ComputeError:
    """From an answer of the engine about a path to what LibGo can explain."""
    lowered = text.lower()
    for words, kind, message in _MEANINGS:
        if words in lowered:
            return kind(message.format(path=printable(path)), path=path)
    if status == 404:
        return NotFound(f"There is no “{printable(path)}”.", path=path)
    if status == 409:
        return InvalidState(f"The engine refused: {reason(text)}")
    if status == 400:
        return InvalidInput(f"The engine refused the request: {reason(text)}")
    return BackendError(f"Docker reported a problem: {reason(text)}")


def _stat_doc(encoded: str) -> Mapping[str, Any] | None:
    try:
        doc = json.loads(base64.b64decode(encoded))
    except (ValueError, binascii.Error):
        return None
    return doc if isinstance(doc, dict) else None


def _stat_entry(doc: Mapping[str, Any]) -> FileEntry:
    mode = int(doc.get("mode", 0))
    bits = mode & 0o777 | sum(own for go, own in _GO_BITS.items() if mode & go)
    return FileEntry(
        name=str(doc.get("name", "")),
        type=next((word for go, word in _GO_TYPES.items() if mode & go), "file"),
        size=int(doc.get("size", 0)),
        mode=bits,
        modified_at=time_parse(str(doc.get("mtime", ""))),
        link_target=str(doc.get("linkTarget", "")),
    )
