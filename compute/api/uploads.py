"""Routes that take either a body that streams or a small one in JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson
from django.db import close_old_connections
from rest_framework.serializers import Serializer

from compute.api.exception_handler import field_errors
from compute.api.transfers import Upload
from compute.api.waiting import outcome_within
from compute.errors import InvalidInput
from compute.jsontext import text_problem
from compute.models import Operation
from compute.selectors.operations import operation_dict

_JSON_MAX = 2 * 1024**2
TAR_TYPES = (
    "application/x-tar",
    "application/tar",
    "application/gzip",
    "application/x-gzip",
    "application/x-compressed-tar",
    "application/octet-stream",
)


def json_upload(ask: Callable[[bytes], Operation], wait_s: float, ends_as: int | str = 200) -> Upload:
    """Read a small body whole, then let ``ask`` make an operation of it, in a thread. Answers like
    ``ApiView.answer_operation``."""
    headers: dict[str, str] = {}

    def asked(raw: bytes) -> dict[str, Any]:
        close_old_connections()
        try:
            return operation_dict(ask(raw))
        finally:
            close_old_connections()

    async def run(chunks: AsyncIterator[bytes]) -> tuple[int, dict[str, Any]]:
        raw = b"".join([chunk async for chunk in chunks])
        operation = await asyncio.to_thread(asked, raw)
        headers["Location"] = f"/api/v1/operations/{operation['id']}"
        outcome = await outcome_within(operation["id"], wait_s, str(ends_as)) if wait_s else None
        return outcome or (202, {"operation": operation})

    return Upload(run, max_bytes=_JSON_MAX, headers=headers)


def json_checked(raw: bytes, serializer: type[Serializer[Any]]) -> dict[str, Any]:
    """The JSON object, checked; unknown fields are refused. Raises ``InvalidInput``."""
    try:
        given = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The request cannot be read: it is not JSON ({error.msg}).") from error
    if not isinstance(given, Mapping):
        raise InvalidInput("The body must be a JSON object.")
    if problem := text_problem(raw, given):
        raise InvalidInput(f"The body holds {problem}, which no field takes.")
    check = serializer(data=given)
    unknown = sorted(set(given) - set(check.fields))
    if unknown:
        accepted = ", ".join(sorted(check.fields))
        raise InvalidInput.field(str(unknown[0])[:50], f"is not known here; accepted: {accepted}.")
    if not check.is_valid():
        raise InvalidInput.of_fields(field_errors(check.errors))
    return dict(check.validated_data)
