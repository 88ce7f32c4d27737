"""``/kvm/images``: templates and ISOs, and the uploads that become some.

An upload that can be taken up again is three kinds of requests: ``POST /kvm/images/uploads`` says what
will come, ``PATCH …/:id?offset=N`` brings the bytes from N on (as many as one likes at once), ``GET …/:id``
tells where it stands. The last byte starts the operation that checks it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from django.db import close_old_connections
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request

from compute.actor import Actor
from compute.api.base import PAGING, Parse, boolean, may, text, whole
from compute.api.instance_views import idempotency_of
from compute.api.placed import NODE, PlacedView
from compute.api.schema import api
from compute.api.serializers import Accepted
from compute.api.transfers import Upload, operation_upload, upload_route
from compute.api.uploads import json_checked, json_upload
from compute.errors import InvalidInput
from compute.models import Operation
from compute.selectors.operations import operation_dict
from compute.services.idempotency import Idempotency
from kvm.api import image_shapes as shapes
from kvm.api.pools import WORK
from kvm.api.storage_shapes import StorageDone
from kvm.selectors.storage import StorageFilter, image_dicts, image_row, images_page
from kvm.services import images
from kvm.services.images import Place

_TAG = "kvm images"
_FILTERS: dict[str, Parse] = {
    "q": text,
    "node": text,
    "project": text,
    "pool": text,
    "kind": text,
    "disk_format": text,
    "in_use": boolean,
}
_NEW: dict[str, Parse] = {"name": text, "pool": text, "disk_format": text, "sha256": text}
_BYTES = "application/octet-stream"
_PIECE = 4 * 1024**2
_KEY_MAX = 200

upload_route("POST", r"kvm/images")
upload_route("PATCH", r"kvm/images/uploads/[^/]+")


class Images(PlacedView):
    @api(
        _TAG,
        "Templates and ISOs",
        response=shapes.KvmImagePage,
        query=(*_FILTERS, *PAGING),
        operation_id="kvm_images_list",
        errors=(503,),
    )
    def get(self, request: Request) -> HttpResponseBase:
        return self.answer_page(images_page(self.actor, StorageFilter(**self.query({**_FILTERS, **PAGING}))))

    @api(
        _TAG,
        "A new one: the body itself, or from a volume, a machine, an address",
        request={_BYTES: OpenApiTypes.BINARY, "application/json": shapes.ImageCreateRequest},
        response=Accepted,
        status=202,
        query=("node", "project", *_NEW),
        errors=(*WORK, 429),
    )
    def post(self, request: Request) -> HttpResponseBase:
        wait_s = self.wait_seconds()
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        if kind == "application/json":
            return self._from_json(request, wait_s)
        asked = self.place(_NEW)
        place = Place(asked.pop("node"), asked.pop("project"))
        # ``format`` in a query is the framework's own word, for the format of the answer.
        asked["format"] = asked.pop("disk_format", "")
        if kind != _BYTES:
            raise InvalidInput(f"Send the image as {_BYTES}, or JSON that says where it comes from.")
        operation = images.image_upload(self.actor, place, asked, size=self.body_length)
        upload = operation_upload(operation, wait_s, 201)
        return self.answer_upload(upload, may("disk_image.create", operation.project_id))

    def _from_json(self, request: Request, wait_s: float) -> HttpResponseBase:
        at, actor, key = self.place(), self.actor, request.headers.get("Idempotency-Key")

        def ask(raw: bytes) -> Operation:
            body = json_checked(raw, shapes.ImageCreateRequest)
            return images.image_create(actor, Place(**at, idempotency=_fingerprint(key, raw)), body)

        return self.answer_upload(json_upload(ask, wait_s, 201))


class ImageDetail(PlacedView):
    @api(_TAG, "One image", response=shapes.KvmImageShape, query=("node",), errors=(503,))
    def get(self, request: Request, image: str) -> HttpResponseBase:
        row = image_row(self.actor, image, self.query(NODE).get("node", ""))
        return self.answer(image_dicts(self.actor, [row])[0])

    @api(
        _TAG,
        "Remove it; refused while machines stand on it",
        response=StorageDone,
        ends_as=200,
        query=("node",),
        errors=WORK,
    )
    def delete(self, request: Request, image: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = self.query(NODE)
        self.body()
        return self.answer_result(images.image_delete(self.actor, image, **asked))


class ImageUploads(PlacedView):
    @api(_TAG, "One's uploads that are not over", response=shapes.UploadPage, operation_id="kvm_uploads_list")
    def get(self, request: Request) -> HttpResponseBase:
        self.query({})
        return self.answer({"items": images.uploads_of(self.actor)})

    @api(
        _TAG,
        "Begin an upload that can be taken up again",
        request=shapes.UploadStartRequest,
        response=shapes.UploadStarted,
        ends_as=201,
        query=("node", "project"),
        errors=WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        at, body = self.place(), self.body(shapes.UploadStartRequest)
        place = Place(**at, idempotency=idempotency_of(request))
        return self.answer_result(images.upload_start(self.actor, place, body), ends_as=201)


class ImageUploadDetail(PlacedView):
    @api(_TAG, "Where an upload stands", response=shapes.UploadShape)
    def get(self, request: Request, upload: str) -> HttpResponseBase:
        self.query({})
        return self.answer(images.upload_dict(images.upload_get(self.actor, upload)))

    @api(
        _TAG,
        "More of it, from offset on",
        request={_BYTES: OpenApiTypes.BINARY},
        response=shapes.UploadProgress,
        query=("offset",),
        errors=(*WORK, 429),
    )
    def patch(self, request: Request, upload: str) -> HttpResponseBase:
        asked = self.query({"offset": whole})
        if "offset" not in asked:
            raise InvalidInput.field("offset", "is needed: where the bytes of this request belong.")
        actor = self.actor
        row, writer = images.upload_claim(actor, upload, asked["offset"])

        async def run(chunks: AsyncIterator[bytes]) -> tuple[int, dict[str, Any]]:
            held, offset = bytearray(), asked["offset"]

            async def flush(least: int) -> int:
                got = offset
                while len(held) >= max(least, 1):
                    piece = bytes(held[:_PIECE])
                    got = await _threaded(images.upload_piece, row, writer, got, piece)
                    del held[: len(piece)]
                return got

            try:
                async for chunk in chunks:
                    held += chunk
                    offset = await flush(_PIECE)
            finally:
                # What has arrived before a line was cut is kept, too.
                offset = await flush(1)
            return 200, await _threaded(_progress, actor, upload, row.size_bytes == offset)

        body = Upload(run, row.size_bytes - asked["offset"])
        return self.answer_upload(body, lambda now: images.upload_get(now, upload))

    @api(
        _TAG,
        "Give it up; what has arrived is thrown away",
        response=StorageDone,
        ends_as=200,
        errors=WORK,
    )
    def delete(self, request: Request, upload: str) -> HttpResponseBase:
        self.wait_seconds()
        self.query({})
        self.body()
        return self.answer_result(images.upload_cancel(self.actor, upload))


def _progress(actor: Actor, upload: str, is_complete: bool) -> dict[str, Any]:
    row = images.upload_get(actor, upload)
    shown: dict[str, Any] = {"upload": images.upload_dict(row), "operation": None}
    if is_complete:
        shown["operation"] = operation_dict(images.upload_finish(actor, row))
    return shown


async def _threaded(work: Any, *arguments: Any) -> Any:
    """In a thread of its own, whose database connection is given back."""

    def run() -> Any:
        close_old_connections()
        try:
            return work(*arguments)
        finally:
            close_old_connections()

    return await asyncio.to_thread(run)


def _fingerprint(key: str | None, raw: bytes) -> Idempotency | None:
    """As for any request, of a body that the view did not see."""
    if key is None:
        return None
    if not 0 < len(key) <= _KEY_MAX or not key.isprintable():
        raise InvalidInput.field("Idempotency-Key", f"must be 1 to {_KEY_MAX} printable characters.")
    return Idempotency(key, hashlib.sha256(b"POST kvm/images " + raw).hexdigest())
