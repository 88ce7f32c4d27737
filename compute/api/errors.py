"""Errors outside any view: the envelope for programs, a page for people."""

from __future__ import annotations

import sys

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import override

from compute.api.exception_handler import DATABASE_RETRY_S, HTTP_STATUS, database_problem, error_body
from compute.error_page import STALE_HINT, error_page, error_page_bare
from compute.wording import later

_FOR_PROGRAMS = ("/api/", "/health", "/metrics")
_TEXTS = {
    "INVALID_INPUT": later("The request cannot be understood."),
    "PERMISSION_DENIED": later("You may not do this."),
    "NOT_FOUND": later("There is nothing here."),
    "INTERNAL": later("Something went wrong inside LibGo."),
}

_STALE_FORM = later("The form was too old, or came from elsewhere.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, "INVALID_INPUT")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, "PERMISSION_DENIED")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, "NOT_FOUND")


def server_error(request: HttpRequest) -> HttpResponse:
    """What no view caught. Without its database LibGo says so, on a page that asks it nothing."""
    error = sys.exc_info()[1]
    if isinstance(error, DatabaseError):
        code, message, details = database_problem(error)
        status = HTTP_STATUS[code]
        if request.path.startswith(_FOR_PROGRAMS):
            answer: HttpResponse = JsonResponse(error_body(code, message, details), status=status)
        else:
            answer = error_page_bare(request, message, status)
        if "retry_after" in details:
            answer["Retry-After"] = str(DATABASE_RETRY_S)
        return answer
    return _answer(request, "INTERNAL")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _answer(request, "PERMISSION_DENIED", _STALE_FORM, STALE_HINT)


def _answer(request: HttpRequest, code: str, message: str = "", hint: str = "") -> HttpResponse:
    text, status = message or _TEXTS[code], HTTP_STATUS[code]
    if request.path.startswith(_FOR_PROGRAMS):
        with override("en"):
            return JsonResponse(error_body(code, str(text)), status=status)
    if status >= HTTP_STATUS["INTERNAL"]:
        return error_page_bare(request, text, status)
    return error_page(request, text, status, hint)
