"""``/storage/pools/:pool/volumes``, with their content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request

from compute.api.base import PAGING, Parse, boolean, may, text
from compute.api.instance_views import idempotency_of
from compute.api.placed import NODE, PlacedView
from compute.api.ranges import range_told
from compute.api.schema import api
from compute.api.serializers import Accepted
from compute.api.transfers import Download, Told, operation_upload, upload_route
from kvm.api import storage_shapes as shapes
from kvm.api.pools import WORK
from kvm.selectors.storage import StorageFilter, pool_row, volume_dicts, volume_row, volumes_page
from kvm.services import volumes

_TAG = "storage"
_FILTERS: dict[str, Parse] = {"q": text, "project": text, "disk_format": text, "in_use": boolean}
_BYTES = "application/octet-stream"
_PIECE = 4 * 1024**2

upload_route("POST", r"storage/pools/[^/]+/volumes/[^/]+/upload")


class Volumes(PlacedView):
    @api(
        _TAG,
        "Volumes of a pool with who uses them",
        response=shapes.VolumePage,
        query=("node", *_FILTERS, *PAGING),
        operation_id="storage_volumes_list",
        errors=(503,),
    )
    def get(self, request: Request, pool: str) -> HttpResponseBase:
        asked = self.query({**NODE, **_FILTERS, **PAGING})
        row = pool_row(self.actor, pool, asked.pop("node", ""))
        return self.answer_page(volumes_page(self.actor, row, StorageFilter(**asked)))

    @api(
        _TAG,
        "Make one, empty or a thin copy",
        request=shapes.PoolVolumeCreateRequest,
        response=shapes.VolumeMade,
        ends_as=201,
        query=("node", "project"),
        errors=WORK,
    )
    def post(self, request: Request, pool: str) -> HttpResponseBase:
        self.wait_seconds()
        at, body = self.place(), self.body(shapes.PoolVolumeCreateRequest)
        key = idempotency_of(request)
        operation = volumes.volume_create(self.actor, pool, body, **at, idempotency=key)
        return self.answer_result(operation, ends_as=201)


class VolumeDetail(PlacedView):
    @api(_TAG, "One volume", response=shapes.VolumeShape, query=("node",), errors=(503,))
    def get(self, request: Request, pool: str, volume: str) -> HttpResponseBase:
        row = volume_row(self.actor, pool, volume, self.query(NODE).get("node", ""))
        return self.answer(volume_dicts(self.actor, [row])[0])

    @api(
        _TAG,
        "Remove it, with its content",
        response=shapes.StorageDone,
        ends_as=200,
        query=("node",),
        errors=WORK,
    )
    def delete(self, request: Request, pool: str, volume: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = self.query(NODE)
        self.body()
        return self.answer_result(volumes.volume_delete(self.actor, pool, volume, **asked))


class VolumeResize(PlacedView):
    @api(
        _TAG,
        "Make it larger; never smaller",
        request=shapes.VolumeResizeRequest,
        response=shapes.VolumeMade,
        ends_as=200,
        query=("node",),
        errors=WORK,
    )
    def put(self, request: Request, pool: str, volume: str) -> HttpResponseBase:
        self.wait_seconds()
        asked, body = self.query(NODE), self.body(shapes.VolumeResizeRequest)
        size = body["capacity_bytes"]
        return self.answer_result(volumes.volume_resize(self.actor, pool, volume, size, **asked))


class VolumeClone(PlacedView):
    @api(
        _TAG,
        "Make a full copy that stands on its own",
        request=shapes.VolumeCloneRequest,
        response=shapes.VolumeMade,
        ends_as=201,
        query=("node", "project"),
        errors=WORK,
    )
    def post(self, request: Request, pool: str, volume: str) -> HttpResponseBase:
        self.wait_seconds()
        at, body = self.place(), self.body(shapes.VolumeCloneRequest)
        key = idempotency_of(request)
        operation = volumes.volume_clone(self.actor, pool, volume, body, **at, idempotency=key)
        return self.answer_result(operation, ends_as=201)


class VolumeWipe(PlacedView):
    @api(
        _TAG,
        "Overwrite its content; empty afterwards",
        response=shapes.VolumeMade,
        ends_as=200,
        query=("node",),
        errors=WORK,
    )
    def post(self, request: Request, pool: str, volume: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = self.query(NODE)
        self.body()
        return self.answer_result(volumes.volume_wipe(self.actor, pool, volume, **asked))


class VolumeUpload(PlacedView):
    @api(
        _TAG,
        "Replace its content; never more than it holds",
        request={_BYTES: OpenApiTypes.BINARY},
        response=Accepted,
        status=202,
        query=("node", "sha256"),
        errors=(*WORK, 429),
    )
    def post(self, request: Request, pool: str, volume: str) -> HttpResponseBase:
        wait_s = self.wait_seconds()
        asked = self.query({**NODE, "sha256": text})
        operation = volumes.volume_upload(self.actor, pool, volume, **asked, size=self.body_length)
        upload = operation_upload(operation, wait_s)
        return self.answer_upload(upload, may("volume.upload", operation.project_id))


class VolumeDownload(PlacedView):
    @api(
        _TAG,
        "Its file, whole or a range of it",
        response=OpenApiTypes.BINARY,
        media=_BYTES,
        also={(206, _BYTES): OpenApiTypes.BINARY},
        query=("node",),
        errors=(*WORK, 429),
    )
    def get(self, request: Request, pool: str, volume: str) -> HttpResponseBase:
        row = volumes.volume_download(self.actor, pool, volume, **self.query(NODE))
        told, wish = Told(), request.headers.get("Range", "")

        async def open_() -> AsyncIterator[bytes]:
            size = await asyncio.to_thread(volumes.volume_bytes, row)
            start, left = range_told(told, size, wish)
            while left > 0:
                piece = await asyncio.to_thread(volumes.volume_piece, row, start, min(_PIECE, left))
                if not piece:
                    return
                yield piece
                start, left = start + len(piece), left - len(piece)

        name = content_disposition_header(True, row.name) or "attachment"
        headers = {"Content-Type": _BYTES, "Content-Disposition": name}
        download = Download(open_, told=told)
        return self.answer_download(download, headers, lambda now: volumes.content_require(now, row))
