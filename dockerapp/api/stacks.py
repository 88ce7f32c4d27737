"""``/docker/stacks``."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.base import PAGING, ApiView, boolean, text
from compute.api.instance_views import idempotency_of
from compute.api.log_query import tail_of, time_of
from compute.api.placed import NODE, PlacedView
from compute.api.schema import api
from compute.backends.types import LogQuery
from compute.selectors.page import time_text
from dockerapp.api import stack_shapes as s
from dockerapp.selectors.stacks import StackFilter, stack_detail, stack_get, stacks_page
from dockerapp.services import stacks

_FILTERS = ("node", "project", "q", "page", "page_size", "sort")
_CHANGES = (409, 422, 503)
_CHECKS = (422, 503, 504)


class StackList(PlacedView):
    @api(
        "docker",
        "Stacks: deployed from here, and made by Compose elsewhere",
        response=s.StackPage,
        operation_id="docker_stacks_list",
        query=_FILTERS,
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = self.query({"node": text, "project": text, "q": text, **PAGING})
        return self.answer_page(stacks_page(self.actor, StackFilter(**asked)))

    @api(
        "docker",
        "Deploy a stack",
        request=s.StackCreateRequest,
        response=s.StackAccepted,
        status=202,
        query=("node",),
        errors=(409, 413, 415, 422, 502, 503, 504),
    )
    def post(self, request: Request) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        self.wait_seconds()
        body = self.body(s.StackCreateRequest)
        operation = stacks.stack_create(self.actor, body, node=node, idempotency=idempotency_of(request))
        return self.answer_operation(operation, ends_as=201)


class StackValidateNew(PlacedView):
    @api(
        "docker",
        "Check a compose file without deploying it",
        request=s.StackValidateRequest,
        response=s.VerdictShape,
        operation_id="docker_stacks_validate_new",
        query=("node",),
        errors=(413, 415, *_CHECKS),
    )
    def post(self, request: Request) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        body = self.body(s.StackValidateRequest)
        return Response(stacks.stack_validate(self.actor, body, node=node).shown())


class StackDetail(PlacedView):
    change_shape = s.StackUpdateRequest
    change_takes_time = True

    @api("docker", "One stack, by name or id", response=s.StackDetailShape, query=("node",))
    def get(self, request: Request, name: str) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        return self.answer(stack_detail(self.actor, stack_get(self.actor, name, node)))

    @api(
        "docker",
        "Change its file or its variables, and deploy it again",
        request=s.StackUpdateRequest,
        response=s.StackAccepted,
        status=202,
        query=("node",),
        errors=(412, 413, 415, 502, 504, *_CHANGES),
    )
    def put(self, request: Request, name: str) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        self.wait_seconds()
        body = self.body(s.StackUpdateRequest)

        def still() -> None:
            self.precondition(stack_detail(self.actor, stack_get(self.actor, name, node)))

        still()
        return self.answer_operation(stacks.stack_update(self.actor, name, body, node=node, still=still))

    patch = put

    @api(
        "docker",
        "Take it down; its volumes stay unless asked",
        response=s.StackAccepted,
        status=202,
        query=("node", "volumes"),
        errors=(502, 504, *_CHANGES),
    )
    def delete(self, request: Request, name: str) -> HttpResponseBase:
        asked = self.query({**NODE, "volumes": boolean})
        self.wait_seconds()
        return self.answer_operation(stacks.stack_delete(self.actor, name, **asked))


class StackValidate(PlacedView):
    @api(
        "docker",
        "Check a change of a stack without making it",
        request=s.StackValidateOwnRequest,
        response=s.VerdictShape,
        query=("node",),
        errors=(413, 415, *_CHECKS),
    )
    def post(self, request: Request, name: str) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        body = self.body(s.StackValidateOwnRequest)
        return Response(stacks.stack_validate(self.actor, body, name=name, node=node).shown())


class StackRedeploy(PlacedView):
    @api(
        "docker",
        "Deploy it again as it is",
        request=s.StackRedeployRequest,
        response=s.StackAccepted,
        status=202,
        query=("node",),
        errors=(415, 502, 504, *_CHANGES),
    )
    def post(self, request: Request, name: str) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        self.wait_seconds()
        options = self.body(s.StackRedeployRequest)
        return self.answer_operation(stacks.stack_update(self.actor, name, {}, node=node, options=options))


class StackScale(PlacedView):
    @api(
        "docker",
        "Run more or fewer instances of a service",
        request=s.StackScaleRequest,
        response=s.StackAccepted,
        status=202,
        query=("node",),
        errors=(415, 502, 504, *_CHANGES),
    )
    def post(self, request: Request, name: str) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        self.wait_seconds()
        body = self.body(s.StackScaleRequest)
        return self.answer_operation(
            stacks.stack_scale(self.actor, name, body["service"], body["replicas"], node=node)
        )


class _Act(PlacedView):
    verb: str

    def act(self, name: str) -> Response:
        asked = self.query({**NODE, "service": text})
        self.wait_seconds()
        self.body()
        return self.answer_operation(stacks.stack_act(self.actor, name, self.verb, **asked))


def act_view(verb: str) -> type[ApiView]:
    """The view of one verb, for PUT and POST alike, with its own entries in the schema."""
    described = api(
        "docker",
        f"{verb.capitalize()} the stack, or one service of it",
        response=s.StackAccepted,
        status=202,
        query=("node", "service"),
        errors=(415, 502, 504, *_CHANGES),
    )

    class Act(_Act):
        @described
        def put(self, request: Request, name: str) -> HttpResponseBase:
            return self.act(name)

        @described
        def post(self, request: Request, name: str) -> HttpResponseBase:
            return self.act(name)

    Act.verb = verb
    Act.__name__ = f"Stack{verb.capitalize()}"
    return Act


class StackLogs(PlacedView):
    @api(
        "docker",
        "The logs of all its instances as one, by time",
        response=s.StackLogShape,
        query=("node", "service", "tail", "since", "until", "timestamps"),
        errors=(409, 422, 502, 503, 504),
    )
    def get(self, request: Request, name: str) -> HttpResponseBase:
        times = {"tail": tail_of, "since": time_of, "until": time_of, "timestamps": boolean}
        asked: dict[str, Any] = self.query({**NODE, "service": text, **times})
        place = {key: asked.pop(key) for key in ("node", "service") if key in asked}
        query = LogQuery(**asked)
        found = stacks.stack_logs(self.actor, name, query, **place)
        lines = []
        for service, instance, line in found:
            shown = {
                "service": service,
                "instance": str(instance.pk),
                "name": instance.name,
                "stream": line.stream,
                "text": line.text,
            }
            lines.append({**shown, "timestamp": time_text(line.timestamp)} if query.timestamps else shown)
        said = "\n".join(f"{line['name']} | {line['text']}" for line in lines)
        return Response({"lines": lines, "text": said})
