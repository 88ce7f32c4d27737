"""``/kvm/vms/:id/…``: the screen, the guest as its agent tells it, and what it is told at its start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import ApiView, text, whole
from compute.api.schema import api
from compute.api.transfers import Upload, upload_route
from compute.services.screenshots import FRESH_S, screenshot_png
from kvm.api import inside_shapes as shapes
from kvm.selectors.machines import machine_get
from kvm.services import cloud_init, guests

_TAG = "kvm machines"
_ERRORS = (409, 422, 502, 503, 504)
_BYTES = "application/octet-stream"

upload_route("PUT", "kvm/vms/[^/]+/guest/files")


class Screenshot(ApiView):
    @api(
        _TAG,
        "What its screen shows",
        response=OpenApiTypes.BINARY,
        media="image/png",
        query=("width",),
        errors=(*_ERRORS, 429),
    )
    def get(self, request: Request, machine_id: str) -> HttpResponseBase:
        width = self.query({"width": whole}).get("width", 0)
        row = machine_get(self.actor, machine_id)
        picture = screenshot_png(self.actor, row.pk, width)
        headers = {"Cache-Control": f"private, max-age={FRESH_S[bool(width)]:.0f}"}
        return HttpResponse(picture, content_type="image/png", headers=headers)


class CloudInit(ApiView):
    @api(
        _TAG, "What it is told at its start, without secrets", response=shapes.CloudInitShape, errors=_ERRORS
    )
    def get(self, request: Request, machine_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(cloud_init.cloud_init_shown(self.actor, machine_id))

    @api(
        _TAG,
        "Change what it is told at its next start",
        request=shapes.CloudInitRequest,
        response=shapes.CloudInitDone,
        ends_as=200,
        errors=(412, *_ERRORS),
    )
    def put(self, request: Request, machine_id: str) -> HttpResponseBase:
        self.query({})
        self.wait_seconds()
        body = self.body(shapes.CloudInitRequest)
        if request.headers.get("If-Match"):
            self.precondition(cloud_init.cloud_init_shown(self.actor, machine_id))
        return self.answer_result(cloud_init.cloud_init_change(self.actor, machine_id, body))


class Guest(ApiView):
    @api(_TAG, "What its guest tells through the agent", response=shapes.GuestShape, errors=_ERRORS)
    def get(self, request: Request, machine_id: str) -> HttpResponseBase:
        self.query({})
        return Response(guests.guest_shown(self.actor, machine_id))


class GuestFiles(ApiView):
    @api(
        _TAG,
        "One file of the guest, of at most 1 MiB",
        response=OpenApiTypes.BINARY,
        media=_BYTES,
        query=("path",),
        errors=(*_ERRORS, 413),
    )
    def get(self, request: Request, machine_id: str) -> HttpResponseBase:
        path = self.query({"path": text}).get("path", "")
        row = guests.guest_file_target(self.actor, machine_id, path)
        data = guests.guest_file_read(self.actor, row, path)
        headers = {"Cache-Control": "private, no-store", "Content-Disposition": "attachment"}
        return HttpResponse(data, content_type=_BYTES, headers=headers)

    @api(
        _TAG,
        "Create or replace one file of the guest, of at most 1 MiB",
        request={_BYTES: OpenApiTypes.BINARY},
        response=shapes.GuestFileWritten,
        query=("path",),
        errors=_ERRORS,
    )
    def put(self, request: Request, machine_id: str) -> HttpResponseBase:
        path, actor = self.query({"path": text}).get("path", ""), self.actor
        row = guests.guest_file_target(actor, machine_id, path)

        async def run(chunks: AsyncIterator[bytes]) -> tuple[int, Any]:
            data = b"".join([chunk async for chunk in chunks])
            write = sync_to_async(guests.guest_file_write, thread_sensitive=False)
            return 200, await write(actor, row, path, data)

        upload = Upload(run, guests.FILE_MAX)
        return self.answer_upload(upload, lambda now: guests.guest_file_target(now, row.pk, path))
