"""``/docker/images``."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import PAGING, Parse, boolean, may, text, whole, words
from compute.api.instance_views import idempotency_of
from compute.api.placed import NODE, PlacedView
from compute.api.schema import api
from compute.api.serializers import Accepted
from compute.api.transfers import Download, operation_upload, upload_route
from compute.api.uploads import TAR_TYPES, json_checked, json_upload
from compute.errors import InvalidInput
from compute.models import Operation
from compute.selectors.resources import ResourceFilter
from compute.services.idempotency import Idempotency
from dockerapp.api import image_shapes as shapes
from dockerapp.selectors.images import KIND, image_dict, image_get, images_page
from dockerapp.selectors.nodes import docker_of
from dockerapp.services import images
from dockerapp.services.images import BuildWish, Place

_TAG = "docker images"
FILTERS: dict[str, Parse] = {"q": text, "node": text, "dangling": boolean, "in_use": boolean}
_QUERY = (*FILTERS, *PAGING)
_PLACE = ("node", "project")
_WORK = (409, 422, 502, 503, 504)
_UPLOAD = (409, 413, 422, 429, 502, 503, 504)
_SEARCH_LIMIT = 25
_TAR_BODY = {kind: OpenApiTypes.BINARY for kind in ("application/x-tar", "application/octet-stream")}
_NAME_MAX = 100

for _route in ("build", "load", "import"):
    upload_route("POST", f"docker/images/{_route}")


class ImageView(PlacedView):
    def at(self, known: dict[str, Parse] | None = None) -> tuple[Place, dict[str, Any]]:
        """Node and project, and the rest of the query."""
        asked = self.place(known)
        return Place(asked.pop("node"), asked.pop("project"), self._key()), asked

    def _key(self) -> Idempotency | None:
        """Of a body that streams nothing is known beforehand: its key means nothing."""
        return None


class Images(ImageView):
    @api(
        _TAG,
        "Images with size, age and who uses them",
        response=shapes.DockerImagePage,
        query=_QUERY,
        operation_id="docker_images_list",
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.query({**FILTERS, **PAGING})
        narrow = {key: asked.pop(key) for key in ("dangling", "in_use") if key in asked}
        return self.answer_page(images_page(self.actor, ResourceFilter(KIND, **asked), **narrow))


class ImageDetail(ImageView):
    @api(
        _TAG,
        "One image, by id, short id, name or digest",
        response=shapes.DockerImageDetail,
        query=("node",),
        errors=(502, 503),
        operation_id="docker_images_retrieve",
    )
    def get(self, request: Request, image: str) -> HttpResponseBase:
        row = image_get(self.actor, image, self.query(NODE).get("node", ""))
        return self.answer({**image_dict(self.actor, row), **images.image_details(row)})

    @api(
        _TAG,
        "Remove a name, or the image",
        response=shapes.ImageRemoved,
        ends_as=200,
        query=("node", "force", "prune"),
        errors=_WORK,
    )
    def delete(self, request: Request, image: str) -> HttpResponseBase:
        self.wait_seconds()
        place, asked = self.at({"force": boolean, "prune": boolean})
        self.body()
        return self.answer_result(images.image_delete(self.actor, place, image, **asked))


class ImageHistory(ImageView):
    @api(_TAG, "Its layers, newest first", response=shapes.ImageHistory, query=("node",), errors=(502, 503))
    def get(self, request: Request, image: str) -> HttpResponseBase:
        row = image_get(self.actor, image, self.query(NODE).get("node", ""))
        return self.answer({"items": images.image_history(row)})


class ImageTag(ImageView):
    def _tag(self, image: str) -> HttpResponseBase:
        self.wait_seconds()
        place, _ = self.at()
        body = self.body(shapes.ImageTagRequest)
        return self.answer_result(images.image_tag(self.actor, place, image, **body), ends_as=201)

    @api(
        _TAG,
        "Give it another name",
        request=shapes.ImageTagRequest,
        response=shapes.ImageMade,
        ends_as=201,
        query=_PLACE,
        errors=_WORK,
    )
    def post(self, request: Request, image: str) -> HttpResponseBase:
        return self._tag(image)

    @api(
        _TAG,
        "Give it another name",
        request=shapes.ImageTagRequest,
        response=shapes.ImageMade,
        ends_as=201,
        query=_PLACE,
        errors=_WORK,
    )
    def put(self, request: Request, image: str) -> HttpResponseBase:
        return self._tag(image)


class ImagePull(ImageView):
    def _key(self) -> Idempotency | None:
        return idempotency_of(self.request)

    @api(
        _TAG,
        "Pull from a registry",
        request=shapes.ImagePullRequest,
        response=Accepted,
        status=202,
        query=_PLACE,
        errors=_WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        place, _ = self.at()
        body = self.body(shapes.ImagePullRequest)
        return self.answer_operation(images.image_pull(self.actor, place, **body))


class ImagePush(ImageView):
    def _key(self) -> Idempotency | None:
        return idempotency_of(self.request)

    @api(
        _TAG,
        "Push to the registry that its name begins with",
        request=shapes.ImagePushRequest,
        response=Accepted,
        status=202,
        query=_PLACE,
        errors=_WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        place, _ = self.at()
        body = self.body(shapes.ImagePushRequest)
        return self.answer_operation(images.image_push(self.actor, place, **body))


class ImageBuild(ImageView):
    """A context as tar streams in; a Dockerfile as text, or an address, comes as JSON."""

    @api(
        _TAG,
        "Build an image",
        request={"application/json": shapes.ImageBuildRequest, "application/x-tar": OpenApiTypes.BINARY},
        response=Accepted,
        status=202,
        query=(
            *_PLACE,
            *("tag", "dockerfile", "remote", "build_args", "labels", "target", "network", "platform"),
            *("no_cache", "pull"),
        ),
        errors=_UPLOAD,
    )
    def post(self, request: Request) -> HttpResponseBase:
        wait_s = self.wait_seconds()
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        if kind == "application/json":
            return self._from_json(request, wait_s)
        place, asked = self.at(_BUILD)
        if "tag" not in asked:
            raise InvalidInput.field("tag", "is required: what the image will be called.")
        wish = BuildWish(**asked)
        if wish.remote:
            return self.answer_operation(images.image_build(self.actor, place, wish))
        if kind not in TAR_TYPES:
            raise InvalidInput(
                f"“{kind[:50]}” cannot be built from. Send the context as application/x-tar, or JSON with "
                "“dockerfile” as application/json."
            )
        operation = images.image_build(self.actor, place, wish, size=self.body_length)
        return self.answer_upload(
            operation_upload(operation, wait_s), may("image.build", operation.project_id)
        )

    def _from_json(self, request: Request, wait_s: float) -> HttpResponseBase:
        place, _ = self.at()
        actor, key = self.actor, request.headers.get("Idempotency-Key")

        def ask(raw: bytes) -> Operation:
            body = json_checked(raw, shapes.ImageBuildRequest)
            if "remote" not in body:
                if "dockerfile" not in body:
                    raise InvalidInput.field(
                        "dockerfile", "is required: the text of a Dockerfile; or “remote”."
                    )
                body["text"] = body.pop("dockerfile")
            again = Place(place.node, place.project, _fingerprint(key, raw))
            return images.image_build(actor, again, BuildWish(**body))

        return self.answer_upload(json_upload(ask, wait_s))


class ImageLoad(ImageView):
    @api(
        _TAG,
        "Load what was saved",
        request=_TAR_BODY,
        response=Accepted,
        status=202,
        query=_PLACE,
        errors=_UPLOAD,
    )
    def post(self, request: Request) -> HttpResponseBase:
        wait_s = self.wait_seconds()
        place, _ = self.at()
        operation = images.image_load(self.actor, place, size=self.body_length)
        return self.answer_upload(
            operation_upload(operation, wait_s), may("image.load", operation.project_id)
        )


class ImageImport(ImageView):
    @api(
        _TAG,
        "Make an image of a root file system",
        request=_TAR_BODY,
        response=Accepted,
        status=202,
        query=(*_PLACE, "image", "tag", "message", "changes"),
        errors=_UPLOAD,
    )
    def post(self, request: Request) -> HttpResponseBase:
        wait_s = self.wait_seconds()
        known: dict[str, Parse] = {**NODE, "project": text, "image": text, "tag": text, "message": text}
        asked = self.query({**known, "changes": text}, frozenset({"changes"}))
        place = Place(asked.pop("node", ""), asked.pop("project", None))
        if "image" not in asked:
            raise InvalidInput.field("image", "is required: what the image will be called.")
        operation = images.image_import(self.actor, place, size=self.body_length, **asked)
        return self.answer_upload(
            operation_upload(operation, wait_s), may("image.import", operation.project_id)
        )


class ImageSave(ImageView):
    @api(
        _TAG,
        "Save images as one tar",
        response=OpenApiTypes.BINARY,
        query=(*_PLACE, "names"),
        errors=(429, 502, 503),
    )
    def get(self, request: Request) -> HttpResponseBase:
        place, asked = self.at({"names": words})
        row, names = images.images_to_save(self.actor, place, asked.get("names", []))
        facet = docker_of(row.node).images
        headers = {
            "Content-Type": "application/x-tar",
            "Content-Disposition": f'attachment; filename="{_file_name(names)}.tar"',
        }
        download = Download(lambda: facet.save(names))
        return self.answer_download(download, headers, lambda now: images.save_allowed(now, place))


class ImageSearch(ImageView):
    @api(
        _TAG,
        "Search Docker Hub through the node's engine",
        response=shapes.ImagesFound,
        query=("node", "term", "limit"),
        errors=(429, 502, 503, 504),
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.query({**NODE, "term": text, "limit": whole})
        place, limit = Place(asked.get("node", "")), asked.get("limit", _SEARCH_LIMIT)
        return Response({"items": images.image_search(self.actor, place, asked.get("term", ""), limit)})


class ImagesPrune(ImageView):
    @api(
        _TAG,
        "Remove images that nothing uses, or say which",
        request=shapes.ImagePruneRequest,
        response=shapes.ImagesPruned,
        ends_as=200,
        query=(*_PLACE, "dry_run", "all"),
        errors=_WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        place, asked = self.at({"dry_run": boolean, "all": boolean})
        asked |= self.body(shapes.ImagePruneRequest)
        operation = images.image_prune(
            self.actor, place, unused=asked.get("all", False), dry_run=asked.get("dry_run", False)
        )
        return self.answer_result(operation)


def _object(name: str, value: str) -> dict[str, Any]:
    try:
        given = orjson.loads(value)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise InvalidInput.field(name, "must be a JSON object of texts.")
    return given


_BUILD: dict[str, Parse] = {
    **{name: text for name in "tag dockerfile remote target network platform".split()},
    **{name: boolean for name in ("no_cache", "pull")},
    **{name: _object for name in ("build_args", "labels")},
}


def _fingerprint(key: str | None, raw: bytes) -> Idempotency | None:
    """As for any request, of a body that the view did not see."""
    if key is None:
        return None
    if not 0 < len(key) <= 200 or not key.isprintable():
        raise InvalidInput.field("Idempotency-Key", "must be 1 to 200 printable characters.")
    return Idempotency(key, hashlib.sha256(b"POST docker/images/build " + raw).hexdigest())


def _file_name(names: list[str]) -> str:
    """Letters, digits, dots and dashes only: it goes into a header."""
    name = names[0].removeprefix("sha256:") if len(names) == 1 else "images"
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name)
    return plain.strip("-")[:_NAME_MAX] or "image"
