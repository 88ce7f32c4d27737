"""``POST /compute/instances/import``: the file is the body."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

from django.db import close_old_connections
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request

from compute.actor import Actor
from compute.api.base import ApiView, Parse, boolean, text, whole
from compute.api.bodies import Chunks
from compute.api.log_views import FormatInView
from compute.api.schema import api
from compute.api.serializers import Accepted
from compute.api.transfers import Upload, operation_upload, upload_route
from compute.errors import BackendError
from compute.models import Operation
from kvm.services import imports
from kvm.services.imports import FILE, ImportWish

_TYPES = ("application/octet-stream", "application/x-tar", "application/ovf", "application/x-qemu-disk")
_QUERY: dict[str, Parse] = {
    **{key: text for key in ("name", "project", "node", "format", "sha256", "network", "bus", "firmware")},
    **{key: whole for key in ("cpu", "memory")},
    "auto_start": boolean,
}

upload_route("POST", "compute/instances/import")


class InstanceImport(ApiView):
    content_negotiation_class = FormatInView

    @api(
        "instances",
        "A machine from an OVA or a disk image (qcow2, raw, vmdk, vdi), which is the body",
        request={kind: OpenApiTypes.BINARY for kind in _TYPES},
        response=Accepted,
        status=202,
        query=tuple(_QUERY),
        errors=(409, 413, 422, 429, 502, 503, 504),
        operation_id="compute_instances_import",
    )
    def post(self, request: Request) -> HttpResponseBase:
        wait_s = self.wait_seconds()
        wish = ImportWish(**self.query(_QUERY))
        imports.import_require(self.actor, wish, self.body_length)
        upload = _upload(self.actor, wish, wait_s)
        return self.answer_upload(upload, lambda now: imports.import_require(now, wish, 0))


def _upload(actor: Actor, wish: ImportWish, wait_s: float) -> Upload:
    headers: dict[str, str] = {}

    async def run(chunks: Chunks) -> tuple[int, dict[str, Any]]:
        folder = await asyncio.to_thread(imports.spool_make)
        operation: Operation | None = None
        try:
            digest = await _spooled(chunks, folder / FILE)
            operation = await asyncio.to_thread(_asked, actor, wish, folder, digest)
        finally:
            if operation is None:
                await asyncio.to_thread(imports.spool_remove, folder)
        work = operation_upload(operation, wait_s, 201)
        headers.update(work.headers)
        return await work.run(_nothing())

    return Upload(run, max_bytes=imports.MAX_BYTES, headers=headers)


def _asked(actor: Actor, wish: ImportWish, folder: Path, digest: str) -> Operation:
    close_old_connections()
    try:
        return imports.machine_import(actor, wish, folder, digest)
    finally:
        close_old_connections()


async def _spooled(chunks: Chunks, path: Path) -> str:
    """SHA-256 of what was written. A full disk ends it with a sentence."""
    digest = hashlib.sha256()
    descriptor = await asyncio.to_thread(os.open, path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        async for chunk in chunks:
            await asyncio.to_thread(_write, descriptor, chunk, digest)
    except OSError as error:
        raise BackendError(f"LibGo cannot keep the file on its own disk ({error.strerror}).") from error
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _write(descriptor: int, chunk: bytes, digest: Any) -> None:
    digest.update(chunk)
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


async def _nothing() -> Chunks:
    """The body was read already."""
    return
    yield b""
