"""Operations, events and nodes."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import serializers as s
from compute.api.account_views import LISTED, listing_answer
from compute.api.base import PAGING, WAIT_MAX_S, ApiView, Parse, boolean, text, whole
from compute.api.event_query import EVENT_QUERY, event_query
from compute.api.schema import api
from compute.api.waiting import WAIT_HEADER, wait_for
from compute.errors import InvalidInput
from compute.selectors import nodes as nodes_read
from compute.selectors.access import action_require
from compute.selectors.events import EventFilter, events_found
from compute.selectors.instances import instance_get
from compute.selectors.operations import (
    OperationFilter,
    operation_dict,
    operation_full,
    operation_get,
    operation_log,
    operations_page,
)
from compute.services import nodes
from compute.services.operations import operation_cancel
from compute.states import ACTIVE_OPERATION_STATES

_FILTERS = ("state", "action", "instance", "user", "parent", "q", "page", "page_size", "sort")


class Operations(ApiView):
    @api("operations", "All operations, newest first", response=s.OperationPage, query=_FILTERS)
    def get(self, request: Request) -> HttpResponseBase:
        known: dict[str, Parse] = {name: text for name in _FILTERS} | PAGING
        return self.answer_page(operations_page(self.actor, OperationFilter(**self.query(known))))


class OperationDetail(ApiView):
    @api("operations", "One operation", response=s.OperationShape, operation_id="operations_retrieve_one")
    def get(self, request: Request, operation_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(operation_full(operation_get(self.actor, operation_id)))

    @api("operations", "Cancel it", response=s.OperationShape, errors=(409,))
    def delete(self, request: Request, operation_id: str) -> HttpResponseBase:
        self.query({})
        return Response(operation_dict(operation_cancel(self.actor, operation_id)))


class OperationLog(ApiView):
    @api("operations", "Its log", response=s.OperationLogShape, query=("after", "limit"))
    def get(self, request: Request, operation_id: str) -> HttpResponseBase:
        asked = self.query({"after": whole, "limit": whole})
        return self.answer({"items": operation_log(self.actor, operation_id, **asked)})


class OperationWait(ApiView):
    @api("operations", "Wait for its end", response=s.OperationShape, query=("timeout",))
    def get(self, request: Request, operation_id: str) -> HttpResponseBase:
        seconds = self.query({"timeout": whole}).get("timeout", 30)
        if seconds > WAIT_MAX_S:
            raise InvalidInput.field("timeout", f"must be seconds between 0 and {WAIT_MAX_S}.")
        operation = operation_get(self.actor, operation_id)
        is_over = operation.state not in ACTIVE_OPERATION_STATES
        header = {} if is_over else {WAIT_HEADER: wait_for(self.actor, operation, seconds, "operation")}
        return Response(operation_full(operation), headers=header)


class Events(ApiView):
    @api(
        "events", "Facts, oldest first unless sorted otherwise", response=s.EventPage,
        query=("type", "instance", *EVENT_QUERY),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponseBase:
        asked = event_query(self, type=text, instance=text)
        if instance := asked.pop("instance", ""):
            asked["instance"] = instance_get(self.actor, instance).pk
        return self.answer_page(events_found(self.actor, EventFilter(**asked)))


class Nodes(ApiView):
    @api("nodes", "All nodes", response=s.NodePage, query=LISTED)
    def get(self, request: Request) -> HttpResponseBase:
        return listing_answer(self, nodes_read.nodes_list(self.actor))

    @api(
        "nodes",
        "Add one: its engine is asked first, unless force=true",
        request=s.NodeCreateRequest,
        response=s.NodeShape,
        status=201,
        query=("force",),
        errors=(409, 502, 503, 504),
    )
    def post(self, request: Request) -> HttpResponseBase:
        force = self.query({"force": boolean}).get("force", False)
        node = nodes.node_create(self.actor, self.body(s.NodeCreateRequest), force=force)
        location = {"Location": f"/api/v1/nodes/{node.pk}"}
        return Response(nodes_read.node_dict(node), status=201, headers=location)


class NodeDraftTest(ApiView):
    @api("nodes", "Ask an engine without storing it", request=s.NodeDraftRequest, response=s.NodeTest,
         errors=(503,))  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        action_require(self.actor, "node.test")
        self.query({})
        return Response(nodes.node_try(self.actor, self.body(s.NodeDraftRequest)))


class NodeDetail(ApiView):
    change_shape = s.NodeUpdateRequest
    change_takes_time = True

    @api("nodes", "One node", response=s.NodeShape, operation_id="nodes_retrieve_one")
    def get(self, request: Request, node_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(nodes_read.node_dict(nodes_read.node_get(self.actor, node_id)))

    @api(
        "nodes",
        "Change it: new addresses and credentials are tried first, unless force=true",
        request=s.NodeUpdateRequest,
        response=s.NodeShape,
        query=("force",),
        errors=(409, 412, 502, 503, 504),
    )
    def put(self, request: Request, node_id: str) -> HttpResponseBase:
        force = self.query({"force": boolean}).get("force", False)
        changes = self.body(s.NodeUpdateRequest)

        def still() -> None:
            self.precondition(nodes_read.node_dict(nodes_read.node_get(self.actor, node_id)))

        still()
        node = nodes.node_update(self.actor, node_id, changes, force=force, still=still)
        return self.answer(nodes_read.node_dict(node))

    patch = put

    @api("nodes", "Forget it; nothing happens on the engine", status=204, errors=(409,))
    def delete(self, request: Request, node_id: str) -> HttpResponseBase:
        self.query({})
        nodes.node_delete(self.actor, node_id)
        return Response(status=204)


class NodeTest(ApiView):
    @api("nodes", "Ask its engine now", response=s.NodeTest, operation_id="nodes_test_one")
    def post(self, request: Request, node_id: str) -> HttpResponseBase:
        self.query({})
        self.body()
        return Response(nodes.node_test(self.actor, node_id))


class NodeDrain(ApiView):
    @api("nodes", "Take no new instances", response=s.NodeShape)
    def put(self, request: Request, node_id: str) -> HttpResponseBase:
        self.body()
        return self.answer(nodes_read.node_dict(nodes.node_drain(self.actor, node_id, draining=True)))


class NodeResume(ApiView):
    @api("nodes", "Take new instances again", response=s.NodeShape)
    def put(self, request: Request, node_id: str) -> HttpResponseBase:
        self.body()
        return self.answer(nodes_read.node_dict(nodes.node_drain(self.actor, node_id, draining=False)))
