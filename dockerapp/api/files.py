"""``/docker/containers/:id/archive`` and ``/files``: content, streamed past the views both ways."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import orjson
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request

from compute.api.base import Parse, boolean, text, whole
from compute.api.placed import PlacedView
from compute.api.ranges import range_told
from compute.api.schema import api
from compute.api.transfers import Download, Told, Upload, upload_route
from compute.backends.types import FileEntry
from compute.errors import InvalidInput, InvalidState
from compute.jsontext import dumps
from dockerapp.api import files_shapes as shapes
from dockerapp.paths import path_checked
from dockerapp.selectors.files import entry_dict, entry_stat, entry_tag
from dockerapp.services import files
from dockerapp.services.files import FileSend, Place

Chunks = AsyncIterator[bytes]
Stream = AsyncGenerator[bytes, None]

_TAR, _BYTES = "application/x-tar", "application/octet-stream"
_ERRORS = (409, 422, 429, 502, 503, 504)
_WRITES = (*_ERRORS, 413)
_STAT_HEADER = "X-Docker-Container-Path-Stat"

for _noun in ("containers", "volumes"):
    upload_route("PUT", f"docker/{_noun}/[^/]+/(archive|files)")
    upload_route("DELETE", f"docker/{_noun}/[^/]+/files")
    upload_route("POST", f"docker/{_noun}/[^/]+/files/(folders|rename)")


class FilesView(PlacedView):
    """What the routes of containers and volumes share: ``where`` finds the place."""

    def where(self, node: str) -> Place:
        if "volume" in self.kwargs:
            return files.volume_place(self.actor, self.kwargs["volume"], node)
        return files.container_place(self.actor, self.kwargs["container"], node)

    def asked(self, known: dict[str, Parse] | None = None) -> dict[str, Any]:
        """The query parameters, with a checked ``path``."""
        asked = self.place({"path": text, **(known or {})})
        asked["path"] = path_checked(asked.get("path") or "")
        return asked

    def send(self, asked: dict[str, Any]) -> FileSend:
        """How a file or folder is to be written, from the query and the conditional headers."""
        mode, given = asked.get("mode"), self.request.headers
        return FileSend(
            asked["path"],
            None if mode is None else files.mode_checked(self.actor, "mode", mode),
            asked.get("uid"),
            asked.get("gid"),
            given.get("If-Match", ""),
            given.get("If-None-Match", "") == "*",
        )

    def download(self, place: Place, open_: Callable[[Told], Chunks], **headers: str) -> HttpResponse:
        told = Told()
        download = Download(lambda: open_(told), told=told)
        return self.answer_download(download, headers, lambda now: files.still_allowed(place, now))

    def upload(self, place: Place, run: Callable[[Chunks], Awaitable[tuple[int, Any]]]) -> HttpResponse:
        upload = Upload(run, files.UPLOAD_MAX_BYTES)
        return self.answer_upload(upload, lambda now: files.still_allowed(place, now))


class Archive(FilesView):
    """Whole trees."""

    @api(
        "docker files",
        "A file or a whole folder as a tar",
        response=OpenApiTypes.BINARY,
        media=_TAR,
        query=("path", "node", "project"),
        errors=_ERRORS,
    )
    def get(self, request: Request, **found: str) -> HttpResponseBase:
        asked = self.asked()
        place, path = self.where(asked["node"]), asked["path"]

        async def open_(told: Told) -> Stream:
            entry = await files.entry_get(place, path, follow=False)
            told.headers[_STAT_HEADER] = base64.b64encode(orjson.dumps(entry_stat(entry))).decode()
            chunks = files.tree_read(place, path)
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk

        name = f"{path.rpartition('/')[2] or place.name}.tar"
        return self.download(place, open_, **_attachment(name, _TAR))

    @api(
        "docker files",
        "Unpack a plain tar into a folder that is there",
        request={kind: OpenApiTypes.BINARY for kind in (_TAR, _BYTES)},
        response=shapes.TreeWrittenShape,
        query=("path", "node", "project"),
        errors=_WRITES,
    )
    def put(self, request: Request, **found: str) -> HttpResponseBase:
        asked = self.asked()
        place = self.where(asked["node"])

        async def run(chunks: Chunks) -> tuple[int, dict[str, Any]]:
            return 200, {"path": asked["path"], **await files.tree_write(place, asked["path"], chunks)}

        return self.upload(place, run)


class Files(FilesView):
    """Single files."""

    @api(
        "docker files",
        "One file, whole or a range of it",
        response=OpenApiTypes.BINARY,
        media=_BYTES,
        also={(206, _BYTES): OpenApiTypes.BINARY},
        query=("path", "node", "project"),
        errors=_ERRORS,
    )
    def get(self, request: Request, **found: str) -> HttpResponseBase:
        asked = self.asked()
        place, path = self.where(asked["node"]), asked["path"]
        wish = request.headers.get("Range", "")

        async def open_(told: Told) -> Stream:
            entry = await files.entry_get(place, path)
            start, count = _file_told(told, path, entry, wish)
            chunks = files.file_read(place, path, entry, start, count)
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk

        return self.download(place, open_, **_attachment(path.rpartition("/")[2], _BYTES))

    @api(
        "docker files",
        "Create or replace one file; If-Match and If-None-Match: * hold",
        request={_BYTES: OpenApiTypes.BINARY},
        response=shapes.FileWrittenShape,
        also={(201, "application/json"): shapes.FileWrittenShape},
        query=("path", "mode", "uid", "gid", "node", "project"),
        errors=(*_WRITES, 412),
    )
    def put(self, request: Request, **found: str) -> HttpResponseBase:
        asked = self.asked({"mode": text, "uid": files.owner_checked, "gid": files.owner_checked})
        place, send = self.where(asked["node"]), self.send(asked)
        if send.path == "/":
            raise InvalidInput.field("path", "must name a file.")

        async def run(chunks: Chunks) -> tuple[int, dict[str, Any]]:
            is_new, entry = await files.file_write(place, send, chunks)
            return (201 if is_new else 200), _written(send.path, entry)

        return self.upload(place, run)

    @api(
        "docker files",
        "Remove a file or folder; the container must run and have a shell",
        response=shapes.FileChangedShape,
        query=("path", "recursive", "node", "project"),
        errors=_ERRORS,
    )
    def delete(self, request: Request, **found: str) -> HttpResponseBase:
        asked = self.asked({"recursive": boolean})
        place, path = self.where(asked["node"]), asked["path"]

        async def run(chunks: Chunks) -> tuple[int, dict[str, Any]]:
            await files.file_remove(place, path, recursive=asked.get("recursive", False))
            return 200, {"path": path}

        return self.upload(place, run)


class FileList(FilesView):
    """Folders, to be looked into."""

    @api(
        "docker files",
        "What is in a folder",
        response=shapes.FolderShape,
        query=("path", "limit", "node", "project"),
        errors=_ERRORS,
    )
    def get(self, request: Request, **found: str) -> HttpResponseBase:
        asked = self.asked({"limit": whole})
        place, limit = self.where(asked["node"]), asked.get("limit", files.LIST_DEFAULT)
        if not 0 < limit <= files.LIST_MAX:
            raise InvalidInput.field("limit", f"must be 1 to {files.LIST_MAX}.")

        async def open_(told: Told) -> Stream:
            raw = dumps(await files.folder_list(place, asked["path"], limit))
            told.length = len(raw)
            yield raw

        return self.download(place, open_, **{"Content-Type": "application/json"})


class Folders(FilesView):
    """Folders, to be made."""

    @api(
        "docker files",
        "Make a folder",
        response=shapes.FileWrittenShape,
        status=201,
        query=("path", "mode", "uid", "gid", "node", "project"),
        errors=_WRITES,
    )
    def post(self, request: Request, **found: str) -> HttpResponseBase:
        asked = self.asked({"mode": text, "uid": files.owner_checked, "gid": files.owner_checked})
        place, send = self.where(asked["node"]), self.send(asked)

        async def run(chunks: Chunks) -> tuple[int, dict[str, Any]]:
            return 201, _written(send.path, await files.folder_make(place, send.path, send))

        return self.upload(place, run)


class Rename(FilesView):
    """New names."""

    @api(
        "docker files",
        "Rename a file or folder; the container must run and have a shell",
        response=shapes.FileChangedShape,
        query=("path", "to", "node", "project"),
        errors=_WRITES,
    )
    def post(self, request: Request, **found: str) -> HttpResponseBase:
        asked = self.asked({"to": text})
        place, to = self.where(asked["node"]), path_checked(asked.get("to") or "", field="to")

        async def run(chunks: Chunks) -> tuple[int, dict[str, Any]]:
            await files.file_rename(place, asked["path"], to)
            return 200, {"path": to}

        return self.upload(place, run)


def _written(path: str, entry: FileEntry) -> dict[str, Any]:
    return {"path": path, "file": entry_dict(entry), "etag": entry_tag(entry)}


def _attachment(name: str, content_type: str) -> dict[str, str]:
    """Never shown by a browser, whatever is in it."""
    clean = "".join(c if c.isprintable() else "_" for c in name)[:200]
    disposition = content_disposition_header(True, clean) or "attachment"
    return {"Content-Type": content_type, "Content-Disposition": disposition}


def _file_told(told: Told, path: str, entry: FileEntry, wish: str) -> tuple[int, int]:
    """Fill in what the answer says; where to begin and how much to send. One range is honoured, and a
    wish that cannot be is answered with the whole (RFC 9110, 14.2)."""
    if entry.type != "file":
        raise InvalidState(f"“{path}” is a {entry.type}, no file. Take it as an archive.", path=path)
    told.headers["ETag"] = entry_tag(entry)
    return range_told(told, entry.size, wish)
