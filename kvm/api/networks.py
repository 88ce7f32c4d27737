"""``/networks``: libvirt's."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from compute.api.base import PAGING, Parse, boolean, text
from compute.api.instance_views import idempotency_of
from compute.api.placed import NODE, PlacedView
from compute.api.schema import api
from compute.selectors.page import Page, page_bounds
from compute.selectors.used import UsedFilter
from kvm.api import network_shapes as shapes
from kvm.selectors.networks import network_dict, network_leases, network_row, networks_page
from kvm.services import networks

_TAG = "kvm networks"
FILTERS: dict[str, Parse] = {"q": text, "node": text, "in_use": boolean}
_FORCE: dict[str, Parse] = {**NODE, "force": boolean}
_WORK = (409, 422, 502, 503, 504)


class Networks(PlacedView):
    @api(
        _TAG,
        "Networks with who is on them",
        response=shapes.KvmNetworkPage,
        query=(*FILTERS, *PAGING),
        operation_id="kvm_networks_list",
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.query({**FILTERS, **PAGING})
        return self.answer_page(networks_page(self.actor, UsedFilter(**asked)))

    @api(
        _TAG,
        "Make one and start it",
        request=shapes.KvmNetworkCreateRequest,
        response=shapes.KvmNetworkDone,
        ends_as=201,
        query=("node", "project"),
        errors=_WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        at, body = self.place(), self.body(shapes.KvmNetworkCreateRequest)
        key = idempotency_of(request)
        operation = networks.network_create(self.actor, body, **at, idempotency=key)
        return self.answer_result(operation, ends_as=201)


class NetworkDetail(PlacedView):
    change_shape = shapes.KvmNetworkUpdateRequest
    also_guarded = ("pending_changes",)

    @api(
        _TAG,
        "One network",
        response=shapes.KvmNetworkShape,
        query=("node",),
        operation_id="kvm_networks_retrieve",
    )
    def get(self, request: Request, network: str) -> HttpResponseBase:
        row = network_row(self.actor, network, self.query(NODE).get("node", ""))
        return self.answer(network_dict(self.actor, row))

    @api(
        _TAG,
        "Change it: DHCP hosts and range at once, the rest with its next start",
        request=shapes.KvmNetworkUpdateRequest,
        response=shapes.KvmNetworkDone,
        ends_as=200,
        query=("node",),
        errors=(412, *_WORK),
    )
    def put(self, request: Request, network: str) -> HttpResponseBase:
        self.wait_seconds()
        node = self.query(NODE).get("node", "")
        body = self.body(shapes.KvmNetworkUpdateRequest)
        row = network_row(self.actor, network, node)
        self.precondition(network_dict(self.actor, row))
        return self.answer_result(networks.network_update(self.actor, str(row.pk), body))

    patch = put

    @api(
        _TAG,
        "Stop and remove it",
        response=shapes.KvmNetworkRemoved,
        ends_as=200,
        query=("node", "force"),
        errors=_WORK,
    )
    def delete(self, request: Request, network: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = self.query(_FORCE)
        self.body()
        return self.answer_result(networks.network_delete(self.actor, network, **asked))


class NetworkStart(PlacedView):
    @api(
        _TAG,
        "Start it",
        response=shapes.KvmNetworkDone,
        ends_as=200,
        query=("node",),
        errors=_WORK,
        operation_id="kvm_networks_start",
    )
    def put(self, request: Request, network: str) -> HttpResponseBase:
        self.wait_seconds()
        node = self.query(NODE).get("node", "")
        self.body()
        return self.answer_result(networks.network_start(self.actor, network, node=node))

    @api(
        _TAG,
        "Start it, as PUT",
        response=shapes.KvmNetworkDone,
        ends_as=200,
        query=("node",),
        errors=_WORK,
        operation_id="kvm_networks_start_post",
    )
    def post(self, request: Request, network: str) -> HttpResponseBase:
        return self.put(request, network)


class NetworkStop(PlacedView):
    @api(
        _TAG,
        "Stop it; cuts machines off only with force",
        request=shapes.NetworkStopRequest,
        response=shapes.KvmNetworkStopped,
        ends_as=200,
        query=("node", "force"),
        errors=_WORK,
        operation_id="kvm_networks_stop",
    )
    def put(self, request: Request, network: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = {**self.query(_FORCE), **self.body(shapes.NetworkStopRequest)}
        return self.answer_result(networks.network_stop(self.actor, network, **asked))

    @api(
        _TAG,
        "Stop it, as PUT",
        request=shapes.NetworkStopRequest,
        response=shapes.KvmNetworkStopped,
        ends_as=200,
        query=("node", "force"),
        errors=_WORK,
        operation_id="kvm_networks_stop_post",
    )
    def post(self, request: Request, network: str) -> HttpResponseBase:
        return self.put(request, network)


class NetworkLeases(PlacedView):
    @api(
        _TAG,
        "Addresses that its DHCP gave out, asked of libvirt now",
        response=shapes.LeasePage,
        query=("node", "page", "page_size"),
        errors=(422, 502, 503, 504),
        operation_id="kvm_networks_leases",
    )
    def get(self, request: Request, network: str) -> HttpResponseBase:
        asked = self.query({**NODE, "page": PAGING["page"], "page_size": PAGING["page_size"]})
        number, size = asked.get("page", 1), asked.get("page_size", 50)
        start, end = page_bounds(number, size)
        row = network_row(self.actor, network, asked.get("node", ""))
        found = network_leases(self.actor, row)
        return self.answer_page(Page(found[start:end], len(found), number, size))
