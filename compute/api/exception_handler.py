"""The one table from codes to HTTP statuses, and the one shape of an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import DatabaseError, DataError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from compute.errors import ComputeError, InvalidInput

log = structlog.get_logger(__name__)

DATABASE_RETRY_S = 5
_INTERNAL = "Something went wrong inside LibGo. The log has the details."

HTTP_STATUS: dict[str, int] = {
    "INVALID_INPUT": 400,
    "INVALID_BACKEND": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "POLICY_DENIED": 403,
    "RESOURCE_LIMIT_EXCEEDED": 403,
    "NOT_FOUND": 404,
    "INSTANCE_NOT_FOUND": 404,
    "OPERATION_NOT_FOUND": 404,
    "NODE_NOT_FOUND": 404,
    "IMAGE_NOT_FOUND": 404,
    "CONTAINER_NOT_FOUND": 404,
    "NETWORK_NOT_FOUND": 404,
    "VOLUME_NOT_FOUND": 404,
    "POOL_NOT_FOUND": 404,
    "SNAPSHOT_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "NAME_CONFLICT": 409,
    "INVALID_STATE": 409,
    "INSTANCE_BUSY": 409,
    "IMAGE_IN_USE": 409,
    "NETWORK_IN_USE": 409,
    "VOLUME_IN_USE": 409,
    "OPERATION_CANCELLED": 409,
    "OPERATION_INTERRUPTED": 409,
    "PRECONDITION_FAILED": 412,
    "PAYLOAD_TOO_LARGE": 413,
    "OPERATION_NOT_SUPPORTED": 422,
    "RATE_LIMITED": 429,
    "INTERNAL": 500,
    "BACKEND_ERROR": 502,
    "BACKUP_DAMAGED": 502,
    "BACKEND_UNAVAILABLE": 503,
    "DATABASE_UNAVAILABLE": 503,
    "BACKEND_TIMEOUT": 504,
}


def error_body(code: str, message: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The envelope of every error."""
    return {"error": {"code": code, "message": message, "details": dict(details or {})}}


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """Called by DRF for everything a view raises."""
    if isinstance(error, ComputeError):
        return _answer(error.code, error.message, error.details)
    if isinstance(error, exceptions.APIException):
        return _framework(error)
    if isinstance(error, Http404):
        return _answer("NOT_FOUND", "There is nothing here.", {})
    if isinstance(error, DjangoPermissionDenied):
        return _answer("PERMISSION_DENIED", "You may not do this.", {})
    if isinstance(error, DatabaseError):
        return _answer(*database_problem(error))
    log.error("request_failed", exc_info=error)
    return _answer("INTERNAL", _INTERNAL, {})


def database_problem(error: BaseException | None) -> tuple[str, str, dict[str, Any]]:
    """Code, message and details of what a database raised."""
    if isinstance(error, (OperationalError, InterfaceError)):
        log.warning("database_unavailable", reason=str(error))
        message = (
            "LibGo's database does not take this now: it is away, busy, or its disk is full. Nothing was "
            "begun; try again soon."
        )
        return "DATABASE_UNAVAILABLE", message, {"retry_after": DATABASE_RETRY_S}
    if isinstance(error, DataError):
        log.info("database_refused_value", reason=str(error))
        return "INVALID_INPUT", "A value is too large or holds characters that cannot be stored.", {}
    log.error("request_failed", exc_info=error)
    return "INTERNAL", _INTERNAL, {}


def _answer(code: str, message: str, details: Mapping[str, Any]) -> Response:
    response = Response(error_body(code, message, details), status=HTTP_STATUS.get(code, 500))
    if details.get("retry_after"):
        response["Retry-After"] = str(details["retry_after"])
    if response.status_code == HTTP_STATUS["UNAUTHENTICATED"]:
        response["WWW-Authenticate"] = 'Bearer realm="libgo"'
    return response


def _framework(error: exceptions.APIException) -> Response:
    """DRF's own exceptions in our words."""
    if isinstance(error, exceptions.ValidationError):
        wrong = InvalidInput.of_fields(field_errors(error.detail))
        return _answer(wrong.code, wrong.message, wrong.details)
    if isinstance(error, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
        return _answer("UNAUTHENTICATED", str(error.detail), {})
    if isinstance(error, exceptions.PermissionDenied):
        return _answer("PERMISSION_DENIED", str(error.detail), {})
    if isinstance(error, exceptions.NotFound):
        return _answer("NOT_FOUND", "There is nothing here.", {})
    if isinstance(error, exceptions.MethodNotAllowed):
        return _answer("METHOD_NOT_ALLOWED", str(error.detail), {})
    return _answer("INVALID_INPUT", f"The request cannot be read: {error.detail}", {})


def field_errors(detail: Any, prefix: str = "") -> dict[str, str]:
    """``{"cpu": {"cores": ["too many"]}}`` as ``{"cpu.cores": "too many"}``."""
    if isinstance(detail, Mapping):
        found: dict[str, str] = {}
        for key, value in detail.items():
            found.update(field_errors(value, f"{prefix}.{key}" if prefix else str(key)))
        return found
    if isinstance(detail, (list, tuple)):
        nested = [item for item in detail if isinstance(item, Mapping)]
        if nested:
            return field_errors(nested[0], prefix)
        return {prefix or "body": " ".join(str(item) for item in detail)}
    return {prefix or "body": str(detail)}
