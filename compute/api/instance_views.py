"""``/compute/instances``."""

from __future__ import annotations

import hashlib
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import serializers as s
from compute.api.account_views import LISTED, listing_answer
from compute.api.base import PAGING, ApiView, Parse, boolean, text
from compute.api.event_query import EVENT_QUERY, event_query
from compute.api.schema import api
from compute.api.transfers import Download
from compute.errors import InvalidInput
from compute.models import Instance
from compute.selectors import cluster
from compute.selectors.events import EventFilter, events_found
from compute.selectors.instances import (
    InstanceFilter,
    instance_dict,
    instance_get,
    instance_read,
    instances_page,
    instances_rendered,
    label_pair,
)
from compute.services import execs, instances
from compute.services.idempotency import Idempotency
from compute.services.templates import create_body
from compute.states import Action
from compute.streams import exec_once

_TEXT_FILTERS = ("backend", "state", "type", "node", "project", "image", "q", "label")
_FILTERS = (*_TEXT_FILTERS, "attention", "mine", "managed", "page", "page_size", "sort")
_IN_USE = (409, 422, 503)
_KEY_MAX = 200


class Instances(ApiView):
    @api("instances", "VMs and containers in one list", response=s.InstancePage, query=_FILTERS)
    def get(self, request: Request) -> HttpResponseBase:
        known: dict[str, Parse] = {name: text for name in _TEXT_FILTERS}
        known |= {"attention": boolean, "mine": boolean, "managed": boolean, **PAGING}
        asked = self.query(known, frozenset({"label"}))
        labels = dict(label_pair(value) for value in asked.pop("label", []))
        read = instances_page if self.fields_wanted() else instances_rendered
        return self.answer_page(read(self.actor, InstanceFilter(**asked, labels=labels)), "instances")

    @api(
        "instances",
        "Make one",
        request=s.InstanceCreateRequest,
        response=s.Accepted,
        status=202,
        errors=(409, 422, 502, 503, 504),
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        body = create_body(self.actor, self.body(s.InstanceCreateRequest))
        operation = instances.instance_create(self.actor, body, idempotency=idempotency_of(request))
        return self.answer_made(operation)


class InstanceDetail(ApiView):
    change_shape = s.InstanceUpdateRequest
    also_guarded = ("config", "pending_changes")

    @api(
        "instances",
        "One instance, by id or unique name",
        response=s.InstanceShape,
        query=("live",),
        operation_id="compute_instances_retrieve_one",
    )
    def get(self, request: Request, instance_id: str) -> HttpResponseBase:
        if self.query({"live": boolean}).get("live", False):
            return self.answer(instance_dict(instances.instance_refresh(self.actor, instance_id)))
        return self.answer(instance_read(self.actor, instance_id))

    @api(
        "instances",
        "Change name, resources, restart policy, labels, annotations",
        request=s.InstanceUpdateRequest,
        response=s.Accepted,
        status=202,
        errors=(412, *_IN_USE),
    )
    def put(self, request: Request, instance_id: str) -> HttpResponseBase:
        return self._change(instance_id, self.body(s.InstanceUpdateRequest))

    patch = put

    @api(
        "instances",
        "Remove it",
        response=s.Accepted,
        status=202,
        query=("force", "keep_storage"),
        errors=_IN_USE,
    )
    def delete(self, request: Request, instance_id: str) -> HttpResponseBase:
        asked = self.query({"force": boolean, "keep_storage": boolean})
        self.wait_seconds()
        return self.answer_operation(instances.instance_delete(self.actor, instance_id, **asked))

    def _change(self, instance_id: str, changes: dict[str, Any]) -> Response:
        self.wait_seconds()
        row = instance_get(self.actor, instance_id)
        self.precondition(instance_dict(row))
        policy = changes.pop("restart_policy", None)
        if policy is not None:
            changes["config"] = {"restart_policy": dict(policy)}
        operation = instances.instance_update(self.actor, row.pk, changes)
        shown = instance_dict(row)
        if operation is None:
            return Response({"instance": shown})
        return self.answer_operation(operation, shown)


class InstanceResources(InstanceDetail):
    http_method_names = ["put", "options"]

    @api(
        "instances",
        "Change limits",
        request=s.ResourcesShape,
        response=s.Accepted,
        status=202,
        errors=_IN_USE,
    )
    def put(self, request: Request, instance_id: str) -> HttpResponseBase:
        return self._change(instance_id, {"resources": self.body(s.ResourcesShape)})


class InstanceByName(ApiView):
    @api("instances", "One instance by its unique name", response=s.InstanceShape)
    def get(self, request: Request, name: str) -> HttpResponseBase:
        self.query({})
        return self.answer(instance_read(self.actor, name))


class _Act(ApiView):
    """One lifecycle verb; PUT and POST alike, both idempotent."""

    action: Action
    request_shape: Any = None

    def act(self, instance_id: str) -> Response:
        self.wait_seconds()
        options = self.body(self.request_shape)
        operation = instances.instance_act(self.actor, instance_id, self.action, options)
        if operation is None:
            return Response({"operation": None, "instance": instance_read(self.actor, instance_id)})
        return self.answer_acted(operation)


def act_view(action: Action) -> type[ApiView]:
    """The view of one verb, with its own entry in the schema."""
    shapes: dict[Action, Any] = {
        Action.STOP: s.StopRequest,
        Action.RESTART: s.RestartRequest,
        Action.KILL: s.KillRequest,
    }
    shape = shapes.get(action)
    described = api(
        "instances",
        f"{action.capitalize()} it",
        request=shape,
        response=s.Accepted,
        status=202,
        errors=_IN_USE,
    )

    class Act(_Act):
        @described
        def put(self, request: Request, instance_id: str) -> HttpResponseBase:
            return self.act(instance_id)

        @described
        def post(self, request: Request, instance_id: str) -> HttpResponseBase:
            return self.act(instance_id)

    Act.action, Act.request_shape = action, shape
    Act.__name__ = f"Instance{action.capitalize()}"
    return Act


class InstanceExec(ApiView):
    @api(
        "instances",
        "Run one command inside it and wait for its end",
        request=s.ExecRequest,
        response=s.ExecShape,
        errors=(409, 422, 429, 502, 503, 504),
    )
    def post(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.query({})
        row = instance_get(self.actor, instance_id)
        return exec_answer(self, row)


def exec_answer(view: ApiView, row: Instance) -> HttpResponse:
    """Everything is checked now; the command runs while the event loop waits, and no thread does."""
    actor = view.actor
    execs.exec_permission(actor, row)
    wanted = execs.exec_prepare(actor, row, view.body(s.ExecRequest))
    return view.answer_download(
        Download(lambda: exec_once(actor, row, wanted)),
        {"Content-Type": "application/json"},
        lambda now: execs.exec_permission(now, instance_get(now, row.pk)),
    )


class InstanceUsage(ApiView):
    @api("instances", "What it uses now", response=s.UsageShape, errors=(409, 503))
    def get(self, request: Request, instance_id: str) -> HttpResponseBase:
        self.query({})
        return Response(instances.instance_usage(self.actor, instance_id))


class InstanceEvents(ApiView):
    @api(
        "instances", "What happened to it, newest first; with after oldest first", response=s.EventPage,
        query=EVENT_QUERY,
    )  # fmt: skip
    def get(self, request: Request, instance_id: str) -> HttpResponseBase:
        asked = event_query(self)
        if "after" not in asked:
            asked.setdefault("sort", ["-seq"])
        row = instance_get(self.actor, instance_id)
        return self.answer_page(events_found(self.actor, EventFilter(instance=row.pk, **asked)))


class ClusterStatus(ApiView):
    @api("cluster", "The whole site at a glance", response=s.ClusterShape)
    def get(self, request: Request) -> HttpResponseBase:
        self.query({})
        return Response(cluster.cluster_status(self.actor))


class Backends(ApiView):
    @api("cluster", "All backends", response=s.BackendPage, query=LISTED)
    def get(self, request: Request) -> HttpResponseBase:
        return listing_answer(self, cluster.backends_list())


class BackendInfo(ApiView):
    @api("cluster", "One backend", response=s.BackendShape)
    def get(self, request: Request, backend: str) -> HttpResponseBase:
        self.query({})
        return self.answer(cluster.backend_info(backend))


class ComputeHealth(ApiView):
    @api("cluster", "Health of each backend", response=s.HealthShape)
    def get(self, request: Request) -> HttpResponseBase:
        self.query({})
        return Response(cluster.health())


def idempotency_of(request: Request) -> Idempotency | None:
    """The client's key, bound to what it asks for. Raises ``InvalidInput``."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= _KEY_MAX or not key.isprintable():
        raise InvalidInput.field("Idempotency-Key", f"must be 1 to {_KEY_MAX} printable characters.")
    raw = f"{request.method} {request.path} ".encode() + request._request.body
    return Idempotency(key, hashlib.sha256(raw).hexdigest())
