"""``/docker/volumes``; their content is in ``archives``."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import PAGING, Parse, boolean, text
from compute.api.instance_views import idempotency_of
from compute.api.placed import PlacedView
from compute.api.schema import api
from compute.selectors.used import UsedFilter
from dockerapp.api import volume_shapes as shapes
from dockerapp.api.network_shapes import ThingDone
from dockerapp.api.networks import FILTERS
from dockerapp.selectors.nodes import docker_node
from dockerapp.selectors.volumes import (
    docker_nodes,
    volume_detail,
    volume_row,
    volume_sizes_measure,
    volumes_page,
)
from dockerapp.services import volumes

_TAG = "docker volumes"
_QUERY = (*FILTERS, *PAGING, "sizes")
_WORK = (409, 422, 502, 503, 504)


class Volumes(PlacedView):
    @api(
        _TAG,
        "Volumes with who uses them",
        response=shapes.DockerVolumePage,
        query=_QUERY,
        errors=(502, 503),
        operation_id="docker_volumes_list",
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.query({**FILTERS, **PAGING, "sizes": boolean})
        measured = asked.pop("sizes", False)
        wanted = UsedFilter(**asked)
        if not measured:
            return self.answer_page(volumes_page(self.actor, wanted))
        node = docker_node(self.actor, wanted.node) if wanted.node else None
        problems = volume_sizes_measure(docker_nodes(node))
        page = volumes_page(self.actor, wanted)
        data = {"items": page.items, "total": page.total, "page": page.page, "page_size": page.page_size}
        return self.answer({**data, "not_measured": problems})

    @api(
        _TAG,
        "Make one",
        request=shapes.VolumeCreateRequest,
        response=shapes.DockerVolumeMade,
        ends_as=201,
        query=("node", "project"),
        errors=_WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        at, body = self.place(), self.body(shapes.VolumeCreateRequest)
        key = idempotency_of(request)
        operation = volumes.volume_create(self.actor, body, **at, idempotency=key)
        return self.answer_result(operation, ends_as=201)


class VolumeDetail(PlacedView):
    @api(_TAG, "One volume", response=shapes.DockerVolumeShape, query=("node", "sizes"), errors=(502, 503))
    def get(self, request: Request, name: str) -> HttpResponseBase:
        asked: dict[str, Parse] = {"node": text, "sizes": boolean}
        given = self.query(asked)
        row = volume_row(self.actor, name, given.get("node", ""))
        if given.get("sizes"):
            volume_sizes_measure([row.node])
            row.refresh_from_db(fields=["size_bytes"])
        return self.answer(volume_detail(self.actor, row))

    @api(
        _TAG,
        "Remove it, with its content",
        response=ThingDone,
        ends_as=200,
        query=("node", "force"),
        errors=_WORK,
    )
    def delete(self, request: Request, name: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = self.query({"node": text, "force": boolean})
        self.body()
        return self.answer_result(volumes.volume_delete(self.actor, name, **asked))


class VolumesPrune(PlacedView):
    @api(
        _TAG,
        "Remove what nobody uses",
        request=shapes.VolumesPruneRequest,
        response=shapes.VolumesPruned,
        ends_as=200,
        query=("node", "project"),
        errors=_WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        at, body = self.place(), self.body(shapes.VolumesPruneRequest)
        wanted = {"every": body.get("all", False), "dry_run": body.get("dry_run", False)}
        found = volumes.volumes_prune(self.actor, **at, **wanted)
        if found.operation is None:
            sizes = [item["size_bytes"] for item in found.items]
            total = None if None in sizes else sum(sizes)
            return Response({"dry_run": True, "items": found.items, "reclaimable_bytes": total})
        return self.answer_result(found.operation)
