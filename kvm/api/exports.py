"""``/compute/instances/:id/export`` and ``/exports``, whose shape is that of the API before Docker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import ApiView, text, whole
from compute.api.instance_views import idempotency_of
from compute.api.ranges import range_told
from compute.api.schema import api
from compute.api.serializers import Accepted
from compute.api.transfers import Download, Told
from compute.selectors.instances import instance_dict, instance_get
from kvm.api import export_shapes as shapes
from kvm.selectors.exports import export_dict, export_get, export_path, exports_page
from kvm.services import exports

_TAG = "exports"
_CHUNK = 512 * 1024
_BYTES = "application/octet-stream"


class InstanceExport(ApiView):
    @api(
        "instances",
        "Export it as one file; the result names the export, see /exports",
        request=shapes.ExportRequest,
        response=Accepted,
        status=202,
        errors=(409, 422, 502, 503, 504),
    )
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.wait_seconds()
        row = instance_get(self.actor, instance_id)
        body = self.body(shapes.ExportRequest)
        operation = exports.instance_export(self.actor, row.pk, body, idempotency=idempotency_of(request))
        return self.answer_operation(operation, instance_dict(row), ends_as=201)


class Exports(ApiView):
    @api(
        _TAG,
        "Exports, newest first",
        response=shapes.ExportList,
        query=("page", "page_size", "instance"),
        operation_id="exports_list",
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.query({"page": whole, "page_size": whole, "instance": text})
        return self.answer_page(exports_page(self.actor, **asked), "jobs")


class ExportDetail(ApiView):
    @api(_TAG, "One export", response=shapes.ExportAnswer, operation_id="exports_retrieve")
    def get(self, request: Request, export_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer({"job": export_dict(export_get(self.actor, export_id))})

    @api(
        _TAG,
        "Delete it with its file; one that is under way is cancelled",
        response=shapes.Message,
        errors=(409,),
    )
    def delete(self, request: Request, export_id: str) -> HttpResponseBase:
        self.query({})
        self.body()
        return Response({"message": exports.export_delete(self.actor, export_id)})


class ExportDownload(ApiView):
    @api(
        _TAG,
        "Its file, whole or a range of it; X-Checksum-SHA256 is of the whole",
        response=OpenApiTypes.BINARY,
        media=_BYTES,
        also={(206, _BYTES): OpenApiTypes.BINARY},
        errors=(409, 429),
    )
    def get(self, request: Request, export_id: str) -> HttpResponseBase:
        self.query({})
        row = exports.export_download(self.actor, export_id)
        path, told = export_path(row), Told()
        etag = f'"{row.sha256}"'
        told.headers |= {"X-Checksum-SHA256": row.sha256, "ETag": etag}
        # A part of another file is no use: whoever has one gets the whole.
        same = request.headers.get("If-Range", etag) == etag
        start, count = range_told(told, row.size_bytes or 0, request.headers.get("Range", "") if same else "")
        name = content_disposition_header(True, row.file_name) or "attachment"
        headers = {"Content-Type": _BYTES, "Content-Disposition": name}
        download = Download(lambda: _file(path, start, count), told=told)
        return self.answer_download(download, headers, lambda now: exports.download_allowed(now, row))


async def _file(path: Path, start: int, count: int) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        await asyncio.to_thread(file.seek, start)
        while count > 0 and (piece := await asyncio.to_thread(file.read, min(_CHUNK, count))):
            count -= len(piece)
            yield piece
    finally:
        file.close()
