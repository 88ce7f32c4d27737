"""Operations, events and nodes."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import serializers as s
from compute.api.account_views import _listing
from compute.api.base import PAGING, WAIT_MAX_S, ApiView, Parse, text, whole
from compute.api.schema import api
from compute.api.waiting import WAIT_HEADER
from compute.errors import InvalidInput
from compute.selectors import nodes as nodes_read
from compute.selectors.events import events_page
from compute.selectors.instances import instance_get
from compute.selectors.operations import (
    OperationFilter,
    operation_dict,
    operation_get,
    operation_log,
    operations_page,
)
from compute.services import nodes
from compute.services.operations import operation_cancel

_FILTERS = ("state", "action", "instance", "user", "page", "page_size", "sort")
_TLS = {
    "verify": "tls_verify",
    "ca_path": "tls_ca_path",
    "cert_path": "tls_cert_path",
    "key_path": "tls_key_path",
}


class Operations(ApiView):
    @api("operations", "All operations, newest first", response=s.OperationPage, query=_FILTERS)
    def get(self, request: Request) -> HttpResponseBase:
        known: dict[str, Parse] = {name: text for name in _FILTERS} | PAGING
        return self.answer_page(operations_page(self.actor, OperationFilter(**self.query(known))))


class OperationDetail(ApiView):
    @api("operations", "One operation", response=s.OperationShape, operation_id="operations_retrieve_one")
    def get(self, request: Request, operation_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(operation_dict(operation_get(self.actor, operation_id)))

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
        header = {WAIT_HEADER: f"{operation.pk} {seconds} operation"}
        return Response(operation_dict(operation), headers=header)


class Events(ApiView):
    @api("events", "Facts, oldest first", response=s.EventList, query=("after", "type", "instance", "limit"))
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.query({"after": whole, "type": text, "instance": text, "limit": whole})
        instance = asked.pop("instance", None)
        if instance:
            asked["instance"] = instance_get(self.actor, instance).pk
        return self.answer({"items": events_page(self.actor, **asked)})


class Nodes(ApiView):
    @api("nodes", "All nodes", response=s.NodePage, query=("page", "page_size"))
    def get(self, request: Request) -> HttpResponseBase:
        return _listing(self, nodes_read.nodes_list(self.actor))

    @api("nodes", "Add one", request=s.NodeCreateRequest, response=s.NodeShape, status=201, errors=(409, 503))
    def post(self, request: Request) -> HttpResponseBase:
        given = self.body(s.NodeCreateRequest)
        node = nodes.node_create(
            self.actor,
            name=given["name"],
            backend=given["backend"],
            url=given["url"],
            options=_options(given.get("tls")),
        )
        return Response(nodes_read.node_dict(node), status=201)


class NodeDetail(ApiView):
    @api("nodes", "One node", response=s.NodeShape, operation_id="nodes_retrieve_one")
    def get(self, request: Request, node_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(nodes_read.node_dict(nodes_read.node_get(self.actor, node_id)))

    @api("nodes", "Change it", request=s.NodeUpdateRequest, response=s.NodeShape, errors=(409,))
    def put(self, request: Request, node_id: str) -> HttpResponseBase:
        given = self.body(s.NodeUpdateRequest)
        if "tls" in given:
            given["options"] = _options(given.pop("tls"))
        return self.answer(nodes_read.node_dict(nodes.node_update(self.actor, node_id, given)))

    @api("nodes", "Forget it; nothing happens on the engine", status=204, errors=(409,))
    def delete(self, request: Request, node_id: str) -> HttpResponseBase:
        nodes.node_delete(self.actor, node_id)
        return Response(status=204)


class NodeTest(ApiView):
    @api("nodes", "Ask its engine now", response=s.NodeTest)
    def post(self, request: Request, node_id: str) -> HttpResponseBase:
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


def _options(tls: dict[str, Any] | None) -> dict[str, Any]:
    given = tls or {}
    for key, value in given.items():
        if key not in _TLS:
            raise InvalidInput.field(f"tls.{key}", f"is not one of {', '.join(_TLS)}.")
        if not isinstance(value, bool if key == "verify" else str):
            raise InvalidInput.field(
                f"tls.{key}", "must be true or false." if key == "verify" else "must be text."
            )
    return {_TLS[key]: value for key, value in given.items()}
