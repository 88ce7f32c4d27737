"""Logs by request: a bounded piece as JSON, or all that is asked for as a stream of text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from compute import streams
from compute.actor import Actor
from compute.api import serializers as s
from compute.api.base import ApiView
from compute.api.log_query import LOG_QUERY, follows
from compute.api.schema import api
from compute.api.transfers import Download
from compute.backends.types import LogQuery
from compute.loghub import Shown, Wanted
from compute.loghub.pieces import line_dict
from compute.models import Instance
from compute.selectors.access import action_require
from compute.selectors.instances import instance_get
from compute.services.logs import logs_check, logs_piece

_TEXT, _LINES = "text/plain; charset=utf-8", "application/x-ndjson"
# How every route that answers logs is described.
LOG_ANSWERS: dict[str, Any] = {
    "response": s.LogShape,
    "errors": (409, 422, 502, 503, 504),
    "also": {(200, "text/plain"): OpenApiTypes.STR, (200, _LINES): OpenApiTypes.STR},
}


class FormatInView(DefaultContentNegotiation):
    """The view itself looks at ``format`` and ``Accept``; errors are JSON always."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class LogView(ApiView):
    """Base of the routes that answer a log."""

    content_negotiation_class = FormatInView

    def log_answer(self, instance: Instance, asked: dict[str, Any]) -> HttpResponseBase:
        """``asked`` is the query by ``LOG_QUERY``."""
        follows(asked)
        wanted = asked.pop("format", "text" if self._prefers_text() else "")
        shown = Shown(**{name: asked.pop(name) for name in Shown._fields if name in asked})
        follow = asked.pop("follow", False)
        if not follow and wanted != "text":
            return self._piece(instance, LogQuery(**asked), shown)
        logs_check(self.actor, instance)
        actor, identifier = self.actor, str(instance.pk)

        as_text = wanted != "json"
        if follow:
            look = Wanted(**asked, goes_on=False)
            download = Download(lambda: streams.logs_text(actor, identifier, look, shown, as_text=as_text))
        else:
            query = LogQuery(**asked)
            download = Download(lambda: streams.logs_whole(actor, identifier, query, shown))
        return self.answer_download(
            download, _headers(instance, as_text), lambda now: _logs_again(now, identifier)
        )

    def _piece(self, instance: Instance, query: LogQuery, shown: Shown) -> Response:
        lines = [line for line in logs_piece(self.actor, instance, query) if shown.has(line)]
        rows = [line_dict(line, shown.timestamps) for line in lines]
        return Response({"lines": rows, "text": "\n".join(line.text for line in lines)})

    def _prefers_text(self) -> bool:
        return self.request.headers.get("Accept", "").split(",")[0].split(";")[0].strip() == "text/plain"


class InstanceLogs(LogView):
    """As lines, or as text."""

    @api(
        "instances",
        "Container output, or a VM's serial log; with follow=true as it grows",
        query=tuple(LOG_QUERY),
        **LOG_ANSWERS,
    )
    def get(self, request: Request, instance_id: str) -> HttpResponseBase:
        asked = self.query(LOG_QUERY)
        return self.log_answer(instance_get(self.actor, instance_id), asked)


def _logs_again(actor: Actor, instance_id: str) -> None:
    action_require(actor, "instance.logs", instance_get(actor, instance_id).project_id)


def _headers(instance: Instance, as_text: bool) -> Mapping[str, str]:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", instance.name)[:100]
    return {
        "Content-Type": _TEXT if as_text else _LINES,
        "Content-Disposition": f'attachment; filename="{name}.log"',
        # Else a proxy in between may hold lines back.
        "X-Accel-Buffering": "no",
    }
