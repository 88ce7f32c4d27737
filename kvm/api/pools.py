"""``/storage/pools``."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from compute.api.base import PAGING, Parse, boolean, text
from compute.api.instance_views import idempotency_of
from compute.api.placed import NODE, PlacedView
from compute.api.schema import api
from kvm.api import storage_shapes as shapes
from kvm.selectors.storage import StorageFilter, pool_dicts, pool_row, pools_page
from kvm.services import pools

_TAG = "storage"
_FILTERS: dict[str, Parse] = {"q": text, "node": text, "type": text, "state": text, "in_use": boolean}
WORK = (409, 422, 502, 503, 504)


class Pools(PlacedView):
    @api(
        _TAG,
        "Storage pools",
        response=shapes.PoolPage,
        query=(*_FILTERS, *PAGING),
        operation_id="storage_pools_list",
        errors=(503,),
    )
    def get(self, request: Request) -> HttpResponseBase:
        return self.answer_page(pools_page(self.actor, StorageFilter(**self.query({**_FILTERS, **PAGING}))))

    @api(
        _TAG,
        "Make one (administrators)",
        request=shapes.PoolCreateRequest,
        response=shapes.PoolMade,
        ends_as=201,
        query=("node",),
        errors=WORK,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        asked, body = self.query(NODE), self.body(shapes.PoolCreateRequest)
        operation = pools.pool_create(self.actor, body, **asked, idempotency=idempotency_of(request))
        return self.answer_result(operation, ends_as=201)


class PoolDetail(PlacedView):
    @api(_TAG, "One pool", response=shapes.PoolShape, query=("node",), errors=(503,))
    def get(self, request: Request, pool: str) -> HttpResponseBase:
        row = pool_row(self.actor, pool, self.query(NODE).get("node", ""))
        return self.answer(pool_dicts(self.actor, [row])[0])

    @api(
        _TAG,
        "Let libvirt forget it; its content stays (administrators)",
        response=shapes.StorageDone,
        ends_as=200,
        query=("node", "force"),
        errors=WORK,
    )
    def delete(self, request: Request, pool: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = self.query({**NODE, "force": boolean})
        self.body()
        return self.answer_result(pools.pool_act(self.actor, pool, "delete", **asked))


class PoolAction(PlacedView):
    """``start`` and ``refresh``; to do so again changes nothing."""

    action = ""

    @api(
        _TAG,
        "Start or refresh it (administrators)",
        response=shapes.PoolMade,
        ends_as=200,
        query=("node",),
        errors=WORK,
    )
    def put(self, request: Request, pool: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = self.query(NODE)
        self.body()
        return self.answer_result(pools.pool_act(self.actor, pool, self.action, **asked))

    @api(
        _TAG,
        "Start or refresh it (administrators)",
        response=shapes.PoolMade,
        ends_as=200,
        query=("node",),
        errors=WORK,
    )
    def post(self, request: Request, pool: str) -> HttpResponseBase:
        return self.put(request, pool)


class PoolStop(PlacedView):
    @api(
        _TAG,
        "Stop it; refused under running machines unless forced (administrators)",
        request=shapes.PoolStopRequest,
        response=shapes.PoolMade,
        ends_as=200,
        query=("node", "force"),
        errors=WORK,
    )
    def put(self, request: Request, pool: str) -> HttpResponseBase:
        self.wait_seconds()
        asked = {**self.query({**NODE, "force": boolean}), **self.body(shapes.PoolStopRequest)}
        return self.answer_result(pools.pool_act(self.actor, pool, "stop", **asked))

    @api(
        _TAG,
        "Stop it; refused under running machines unless forced (administrators)",
        request=shapes.PoolStopRequest,
        response=shapes.PoolMade,
        ends_as=200,
        query=("node", "force"),
        errors=WORK,
    )
    def post(self, request: Request, pool: str) -> HttpResponseBase:
        return self.put(request, pool)


class PoolTypes(PlacedView):
    @api(
        _TAG,
        "Which types of pools this host can have",
        response=shapes.PoolTypes,
        query=("node",),
        errors=(422, 502, 503, 504),
    )
    def get(self, request: Request) -> HttpResponseBase:
        return self.answer({"items": pools.pool_types(self.actor, **self.query(NODE))})
