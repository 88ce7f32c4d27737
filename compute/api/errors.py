"""Errors outside any view: the envelope for programs, a page for people."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from compute.api.exception_handler import HTTP_STATUS, error_body

_TEXTS = {
    "INVALID_INPUT": "The request cannot be understood.",
    "PERMISSION_DENIED": "You may not do this.",
    "NOT_FOUND": "There is nothing here.",
    "INTERNAL": "Something went wrong inside LibGo. The log has the details.",
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, "INVALID_INPUT")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, "PERMISSION_DENIED")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, "NOT_FOUND")


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, "INTERNAL")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _answer(
        request, "PERMISSION_DENIED", "The form was too old or came from elsewhere. Reload and try again."
    )


def _answer(request: HttpRequest, code: str, message: str = "") -> HttpResponse:
    text, status = message or _TEXTS[code], HTTP_STATUS[code]
    if request.path.startswith(("/api/", "/health", "/metrics")):
        return JsonResponse(error_body(code, text), status=status)
    context: dict[str, Any] = {"message": text, "status": status}
    return render(request, "error.html", context, status=status)
