"""``/docker/containers/:id/logs``."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request

from compute.api.log_query import LOG_QUERY
from compute.api.log_views import LOG_ANSWERS, LogView
from compute.api.placed import NODE
from compute.api.schema import api
from dockerapp.selectors.containers import container_get


class ContainerLogs(LogView):
    """As lines, or as text."""

    @api(
        "docker containers",
        "What it wrote to stdout and stderr; with follow=true as it grows",
        query=(*LOG_QUERY, "node"),
        **LOG_ANSWERS,
    )
    def get(self, request: Request, container_id: str) -> HttpResponseBase:
        asked = self.query({**LOG_QUERY, **NODE})
        instance = container_get(self.actor, container_id, asked.pop("node", ""))
        return self.log_answer(instance, asked)
