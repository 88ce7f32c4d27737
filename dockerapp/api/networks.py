"""``/docker/networks``."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import PAGING, Parse, boolean, text
from compute.api.instance_views import idempotency_of
from compute.api.placed import PlacedView
from compute.api.schema import api
from compute.selectors.used import UsedFilter
from dockerapp.api import network_shapes as shapes
from dockerapp.selectors.networks import network_detail, network_row, networks_page
from dockerapp.services import networks

_TAG = "docker networks"
FILTERS: dict[str, Parse] = {"q": text, "node": text, "project": text, "driver": text, "in_use": boolean}
_QUERY = (*FILTERS, *PAGING)
_WORK = (409, 422, 502, 503, 504)


class Networks(PlacedView):
    @api(
        _TAG,
        "Networks with who is on them",
        response=shapes.DockerNetworkPage,
        query=_QUERY,
        operation_id="docker_networks_list",
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.query({**FILTERS, **PAGING})
        return self.answer_page(networks_page(self.actor, UsedFilter(**asked)))

    @api(
        _TAG,
        "Make one",
        request=shapes.NetworkCreateRequest,
        response=shapes.DockerNetworkMade,
        ends_as=201,
        query=("node", "project"),
        errors=_WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        at, body = self.place(), self.body(shapes.NetworkCreateRequest)
        key = idempotency_of(request)
        operation = networks.network_create(self.actor, body, **at, idempotency=key)
        return self.answer_result(operation, ends_as=201)


class NetworkDetail(PlacedView):
    @api(_TAG, "One network, live", response=shapes.DockerNetworkDetail, query=("node",), errors=(502, 503))
    def get(self, request: Request, network: str) -> HttpResponseBase:
        row = network_row(self.actor, network, self.query({"node": text}).get("node", ""))
        return self.answer(network_detail(self.actor, row))

    @api(_TAG, "Remove it", response=shapes.ThingDone, ends_as=200, query=("node",), errors=_WORK)
    def delete(self, request: Request, network: str) -> HttpResponseBase:
        self.wait_seconds()
        node = self.query({"node": text}).get("node", "")
        self.body()
        return self.answer_result(networks.network_delete(self.actor, network, node=node))


class NetworkConnect(PlacedView):
    @api(
        _TAG,
        "Put a container on it, live",
        request=shapes.ConnectRequest,
        response=shapes.Attached,
        ends_as=200,
        query=("node",),
        errors=_WORK,
    )
    def post(self, request: Request, network: str) -> HttpResponseBase:
        self.wait_seconds()
        node = self.query({"node": text}).get("node", "")
        body = self.body(shapes.ConnectRequest)
        return self.answer_result(networks.network_connect(self.actor, network, body, node=node))


class NetworkDisconnect(PlacedView):
    @api(
        _TAG,
        "Take a container off it, live",
        request=shapes.DisconnectRequest,
        response=shapes.ThingDone,
        ends_as=200,
        query=("node",),
        errors=_WORK,
    )
    def post(self, request: Request, network: str) -> HttpResponseBase:
        self.wait_seconds()
        node = self.query({"node": text}).get("node", "")
        body = self.body(shapes.DisconnectRequest)
        return self.answer_result(networks.network_disconnect(self.actor, network, body, node=node))


class NetworksPrune(PlacedView):
    @api(
        _TAG,
        "Remove what nobody uses",
        request=shapes.NetworksPruneRequest,
        response=shapes.NetworksPruned,
        ends_as=200,
        query=("node", "project"),
        errors=_WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        at, body = self.place(), self.body(shapes.NetworksPruneRequest)
        found = networks.networks_prune(self.actor, **at, dry_run=body.get("dry_run", False))
        if found.operation is None:
            return Response({"dry_run": True, "items": found.items, "reclaimable_bytes": 0})
        return self.answer_result(found.operation)
