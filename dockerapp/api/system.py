"""``/docker/system``: the engine as a whole."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api.placed import NODE, PlacedView
from compute.api.schema import api
from dockerapp.api import system_shapes as shapes
from dockerapp.selectors import system as read
from dockerapp.services import system

_TAG = "docker system"
_ASKS = (502, 503, 504)


class SystemInfo(PlacedView):
    @api(_TAG, "What the engine is", response=shapes.EngineInfo, query=("node",), errors=_ASKS)
    def get(self, request: Request) -> HttpResponseBase:
        return self.answer(read.system_info(self.actor, self._node()))

    def _node(self) -> str:
        return str(self.query(NODE).get("node", ""))


class SystemVersion(SystemInfo):
    @api(_TAG, "Its versions", response=shapes.EngineVersion, query=("node",), errors=_ASKS)
    def get(self, request: Request) -> HttpResponseBase:
        return self.answer(read.system_version(self.actor, self._node()))


class SystemDisk(SystemInfo):
    @api(
        _TAG,
        "What its disk is used for; measured now",
        response=shapes.EngineDisk,
        query=("node",),
        errors=(429, *_ASKS),
    )
    def get(self, request: Request) -> HttpResponseBase:
        return self.answer(read.system_disk(self.actor, self._node()))


class SystemPrune(PlacedView):
    @api(
        _TAG,
        "Remove what nothing needs",
        request=shapes.SystemPruneRequest,
        response=shapes.SystemPruned,
        ends_as=200,
        query=("node",),
        errors=(409, 429, *_ASKS),
    )
    def post(self, request: Request) -> HttpResponseBase:
        self.wait_seconds()
        node = str(self.query(NODE).get("node", ""))
        given: dict[str, Any] = self.body(shapes.SystemPruneRequest)
        if given.get("dry_run"):
            return Response(system.system_prune_preview(self.actor, node, given))
        return self.answer_result(system.system_prune(self.actor, node, given))
