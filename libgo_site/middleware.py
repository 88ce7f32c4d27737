"""What every request passes, before anything else."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from threading import Lock

import structlog
from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers

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


# What programs read stays in the source's language.
_FOR_PROGRAMS = ("/api/", "/health", "/metrics", "/ws/")
_SOURCE = "en"


class LanguageMiddleware:
    """Answers in the language that the account chose, else the one that the browser chose on the sign-in page
    or asks for, else the site's (``LIBGO_LANGUAGE``)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        language = _language_of(request)
        with translation.override(language):
            response = self._get_response(request)
        if not request.path.startswith(_FOR_PROGRAMS):
            patch_vary_headers(response, ["Accept-Language"])
            response.headers.setdefault("Content-Language", language)
        return response


def _language_of(request: HttpRequest) -> str:
    if request.path.startswith(_FOR_PROGRAMS):
        return _SOURCE
    chosen = getattr(request.user, "language", "")
    if chosen in dict(settings.LANGUAGES):
        return str(chosen)
    return translation.get_language_from_request(request)


_TEXTS = ("text/", "application/javascript", "application/json", "image/svg+xml")
# Less would not become smaller; more is no file of a page.
_LEAST, _MOST = 1024, 4 * 1024 * 1024


class StaticGzipMiddleware:
    """Sends static texts compressed: Tabler's style sheet is 80 KB instead of 635. Each file is compressed
    once for each process and kept; pages and the API are left alone, their secrets could be guessed from
    their length."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._lock = Lock()
        self._kept: dict[tuple[str, str], bytes] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(settings.STATIC_URL):
            return self._get_response(request)
        # WhiteNoise knows its own, strong tags only.
        if "HTTP_IF_NONE_MATCH" in request.META:
            request.META["HTTP_IF_NONE_MATCH"] = request.META["HTTP_IF_NONE_MATCH"].removeprefix("W/")
        response = self._get_response(request)
        if self._fits(request, response):
            patch_vary_headers(response, ["Accept-Encoding"])
            if "gzip" in request.headers.get("Accept-Encoding", ""):
                return self._compressed(request.path, response)
        return response

    def _fits(self, request: HttpRequest, response: HttpResponseBase) -> bool:
        size = int(response.get("Content-Length") or 0)
        return (
            request.method == "GET"
            and response.status_code == 200
            and _LEAST <= size <= _MOST
            and response.get("Content-Type", "").startswith(_TEXTS)
            and "Content-Encoding" not in response
        )

    def _compressed(self, path: str, response: HttpResponseBase) -> HttpResponseBase:
        # The tag changes with the file.
        key = (path, response.get("ETag", ""))
        body = self._kept.get(key)
        if body is None:
            with self._lock:
                body = self._kept.setdefault(key, gzip.compress(b"".join(response), 6))
        # Only its file: closing the answer would tell Django that the request has ended.
        if isinstance(response, FileResponse) and response.file_to_stream is not None:
            response.file_to_stream.close()
        sent = HttpResponse(body, headers={**response.headers, "Content-Encoding": "gzip"})
        sent["Content-Length"] = str(len(body))
        if key[1]:
            # Weak: the same file in other bytes.
            sent["ETag"] = f"W/{key[1].removeprefix('W/')}"
        return sent
