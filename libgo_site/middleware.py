"""What every request passes, before anything else."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from compute.request_id import request_id_for


class RequestIdMiddleware:
    """Gives each request an id (the caller's ``X-Request-ID`` if it is harmless), puts it into the
    logs and the answer, and on the request as ``request_id``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = request_id_for(request.headers.get("X-Request-ID", ""))
        request.request_id = request_id  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request=request_id)
        response = self._get_response(request)
        response["X-Request-ID"] = request_id
        return response
