"""``/docker/containers``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import orjson
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from compute import statshub
from compute.actor import Actor
from compute.api.base import PAGING, ApiView, Parse, boolean, text, whole
from compute.api.instance_views import exec_answer, idempotency_of
from compute.api.placed import NODE, PlacedView
from compute.api.schema import api
from compute.api.serializers import Accepted
from compute.api.transfers import Download
from compute.errors import InvalidInput
from compute.models import Instance
from compute.selectors.instances import InstanceFilter, instance_dict, instance_get
from compute.services import instances
from compute.states import Action
from dockerapp.api import container_shapes as s
from dockerapp.selectors.containers import container_get
from dockerapp.services import container_reads as reads
from dockerapp.services import containers
from dockerapp.services.container_list import ContainerList, containers_page, filters_parse

_BUSY = (409, 422, 502, 503, 504)
_ENGINE = (409, 502, 503, 504)


def _flattened(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of a configuration may stand in ``config`` or beside it, but only in one place."""
    config = dict(body.pop("config", {}))
    body = {key: value for key, value in body.items() if value is not None}
    for key in s.CONFIG_FIELDS & set(body):
        if key in config:
            raise InvalidInput.field(key, "stands both in config and beside it.")
        config[key] = body.pop(key)
    return {**body, "config": config}


class Containers(PlacedView):
    @api(
        "docker containers",
        "Containers; the engine's own filters apply to those that one may see",
        response=s.ContainerPage,
        operation_id="docker_containers_list_all",
        query=("all", "limit", "filters", "node", "project", "q", "page", "page_size", "sort"),
        errors=(502, 503),
    )
    def get(self, request: Request) -> HttpResponseBase:
        known: dict[str, Parse] = {"all": boolean, "limit": whole, "filters": filters_parse, "q": text}
        asked = self.place({**known, **PAGING})
        wanted = ContainerList(
            stopped=asked.pop("all", False), limit=asked.pop("limit", 0), filters=asked.pop("filters", None)
        )
        asked["project"] = asked["project"] or ""
        listing = InstanceFilter(**asked)
        page = containers_page(
            self.actor, ContainerList(wanted.stopped, wanted.limit, wanted.filters, listing)
        )
        return self.answer_page(page)

    @api(
        "docker containers",
        "Make one",
        request=s.ContainerCreateRequest,
        response=Accepted,
        status=202,
        query=("node",),
        errors=_BUSY,
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        node = self.query(NODE).get("node", "")
        body = _flattened(self.body(s.ContainerCreateRequest))
        operation = containers.container_create(self.actor, node, body, idempotency=idempotency_of(request))
        return self.answer_made(operation)


class ContainerDetail(PlacedView):
    @api(
        "docker containers",
        "One in full, secrets masked",
        response=s.ContainerDetailShape,
        query=("node", "size"),
        errors=_ENGINE,
    )
    def get(self, request: Request, container_id: str) -> HttpResponseBase:
        asked = self.query({**NODE, "size": boolean})
        return self.answer(
            reads.container_detail(
                self.actor, container_id, asked.get("node", ""), size=asked.get("size", False)
            )
        )

    @api(
        "docker containers",
        "Remove it; volumes=true takes its anonymous volumes along",
        response=Accepted,
        status=202,
        query=("node", "force", "volumes"),
        errors=_BUSY,
    )
    def delete(self, request: Request, container_id: str) -> HttpResponseBase:
        asked = self.query({**NODE, "force": boolean, "volumes": boolean})
        self.wait_seconds()
        row = container_get(self.actor, container_id, asked.get("node", ""))
        operation = instances.instance_delete(
            self.actor,
            row.pk,
            force=asked.get("force", False),
            keep_storage=not asked.get("volumes", False),
        )
        return self.answer_operation(operation)


class _Verb(PlacedView):
    """One verb of one container; PUT and POST alike."""

    request_shape: Any = None

    def carry_out(self, row: Instance, body: dict[str, Any]) -> HttpResponseBase:
        """What the verb does; each has its own."""
        raise InvalidInput("This verb does nothing.")

    def act(self, container_id: str) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        self.wait_seconds()
        body = self.body(self.request_shape)
        return self.carry_out(container_get(self.actor, container_id, node), body)

    def accepted(self, operation: Any, row: Instance) -> Response:
        shown = instance_dict(row)
        if operation is None:
            return Response({"operation": None, "instance": shown})
        return self.answer_operation(operation, shown)


class Rename(_Verb):
    request_shape = s.RenameRequest

    def carry_out(self, row: Instance, body: dict[str, Any]) -> HttpResponseBase:
        return self.accepted(instances.instance_update(self.actor, row.pk, body), row)


class Update(_Verb):
    request_shape = s.ContainerUpdateRequest

    def carry_out(self, row: Instance, body: dict[str, Any]) -> HttpResponseBase:
        resources = body.pop("resources", None) or {}
        changes = {"resources": resources, "config": body}
        return self.accepted(instances.instance_update(self.actor, row.pk, changes), row)


class Recreate(_Verb):
    request_shape = s.ContainerRecreateRequest

    def carry_out(self, row: Instance, body: dict[str, Any]) -> HttpResponseBase:
        # The same word for two things: here it says how long the old one has to stop.
        timeout = {"stop_timeout": body.pop("stop_timeout")} if "stop_timeout" in body else {}
        wanted = {**_flattened(body), **timeout}
        operation = containers.container_recreate(self.actor, str(row.pk), "", wanted)
        return self.accepted(operation, row)


class Wait(_Verb):
    request_shape = s.WaitRequest

    def carry_out(self, row: Instance, body: dict[str, Any]) -> HttpResponseBase:
        reads.engine_id_of(row)
        condition, timeout_s = body["condition"], body["timeout"]
        return self.answer_download(
            Download(lambda: _waited(self.actor, row, condition, timeout_s)),
            {"Content-Type": "application/json"},
            lambda now: instance_get(now, row.pk),
        )


async def _waited(
    actor: Actor, row: Instance, condition: str, timeout_s: float
) -> AsyncGenerator[bytes, None]:
    code = await reads.container_wait(row, condition, timeout_s)
    yield orjson.dumps({"exit_code": code, "timed_out": code is None, "condition": condition})


class Resize(_Verb):
    request_shape = s.ResizeRequest

    def carry_out(self, row: Instance, body: dict[str, Any]) -> HttpResponseBase:
        containers.container_resize(self.actor, str(row.pk), "", **body)
        return Response(status=204)


def verb_view(verb: str, base: type[_Verb], summary: str, **described: Any) -> type[ApiView]:
    """The view of one verb, with its own entry in the schema."""
    told = api(
        "docker containers",
        summary,
        request=base.request_shape,
        query=("node",),
        **{"response": Accepted, "status": 202, "errors": _BUSY, **described},
    )

    class View(base):  # type: ignore[valid-type, misc]
        @told
        def put(self, request: Request, container_id: str) -> HttpResponseBase:
            return self.act(container_id)

        @told
        def post(self, request: Request, container_id: str) -> HttpResponseBase:
            return self.act(container_id)

    View.__name__ = f"Container{verb.capitalize()}"
    return View


def lifecycle_view(action: Action) -> type[ApiView]:
    """The verbs that all backends share."""
    shapes: dict[Action, Any] = {
        Action.STOP: s.StopRequest,
        Action.RESTART: s.RestartRequest,
        Action.KILL: s.KillRequest,
    }

    class Act(_Verb):
        request_shape = shapes.get(action)

        def carry_out(self, row: Instance, body: dict[str, Any]) -> HttpResponseBase:
            return self.accepted(instances.instance_act(self.actor, row.pk, action, body), row)

    return verb_view(str(action), Act, f"{action.capitalize()} it")


class Exec(PlacedView):
    @api(
        "docker containers",
        "Run one command inside it and wait for its end",
        request=s.ExecRequest,
        response=s.ExecShape,
        query=("node",),
        errors=(409, 422, 429, 502, 503, 504),
    )
    def post(self, request: Request, container_id: str) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        return exec_answer(self, container_get(self.actor, container_id, node))


class Stats(PlacedView):
    @api(
        "docker containers",
        "What it uses now; with stream=true each new sample, one JSON object a line",
        response=s.UsageShape,
        query=("node", "stream"),
        also={(200, "application/x-ndjson"): OpenApiTypes.STR},
        errors=_ENGINE,
    )
    def get(self, request: Request, container_id: str) -> HttpResponseBase:
        asked = self.query({**NODE, "stream": boolean})
        if asked.get("stream"):
            return self._stream(reads.container_sampled(self.actor, container_id, asked.get("node", "")))
        return Response(reads.container_stats(self.actor, container_id, asked.get("node", "")))

    def _stream(self, row: Instance) -> HttpResponseBase:
        pk = str(row.pk)
        download = Download(lambda: statshub.sample_rows(pk))
        lines = {"Content-Type": "application/x-ndjson"}
        return self.answer_download(download, lines, lambda now: instance_get(now, pk))


class Top(PlacedView):
    @api(
        "docker containers",
        "Its processes",
        response=s.TopShape,
        query=("node", "ps_args"),
        errors=_ENGINE,
    )
    def get(self, request: Request, container_id: str) -> HttpResponseBase:
        asked = self.query({**NODE, "ps_args": text})
        return Response(
            reads.container_top(
                self.actor, container_id, asked.get("node", ""), arguments=asked.get("ps_args", "")
            )
        )


class Changes(PlacedView):
    @api(
        "docker containers",
        "What in its file system differs from its image",
        response=s.ChangesShape,
        query=("node",),
        errors=_ENGINE,
    )
    def get(self, request: Request, container_id: str) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        return Response(reads.container_changes(self.actor, container_id, node))


class Commit(PlacedView):
    @api(
        "docker containers",
        "An image of what it is now; the operation's result names it",
        request=s.CommitRequest,
        response=Accepted,
        status=202,
        query=("node",),
        errors=_BUSY,
    )
    def post(self, request: Request, container_id: str) -> HttpResponseBase:
        node = self.query(NODE).get("node", "")
        self.wait_seconds()
        row = container_get(self.actor, container_id, node)
        operation = containers.container_commit(
            self.actor, str(row.pk), "", self.body(s.CommitRequest), idempotency=idempotency_of(request)
        )
        return self.answer_operation(operation, instance_dict(row), ends_as=201)


class Prune(PlacedView):
    @api(
        "docker containers",
        "Remove what does not run; dry_run=true only tells what would go",
        request=s.PruneRequest,
        response=s.PruneShape,
        status=202,
        query=("node", "project", "dry_run"),
        errors=_BUSY,
    )
    def post(self, request: Request) -> HttpResponseBase:
        asked = self.place({"dry_run": boolean})
        body = self.body(s.PruneRequest)
        operation = containers.containers_prune(
            self.actor,
            asked["node"],
            body.get("project") or asked["project"],
            dry_run=asked.get("dry_run", False) or body["dry_run"],
        )
        return self.answer_result(operation)
