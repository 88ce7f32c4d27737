"""Say once what every route may answer, for the OpenAPI schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

from compute.api.serializers import Accepted


class ErrorDetailSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="UPPER_SNAKE, for programs.")
    message = serializers.CharField(help_text="What happened, why, and what to do; for people.")
    details = serializers.DictField(help_text="For both: fields, limits, the other operation …")


class ErrorSerializer(serializers.Serializer[Any]):
    error = ErrorDetailSerializer()


_TEXTS = {
    400: "The request cannot be understood",
    401: "No valid token or session",
    403: "Not allowed for this role, or against a policy or limit",
    404: "Not there, or not visible",
    405: "The route has no such method",
    409: "The state of things does not allow it",
    412: "It was changed since",
    413: "Too large",
    415: "Not JSON",
    422: "The backend or node cannot do this",
    429: "Too many requests",
    502: "The engine failed",
    503: "The engine, or the database of LibGo, cannot be reached",
    504: "The engine did not answer in time",
}
_ALWAYS = (400, 401, 403, 404, 405)


def api(
    tag: str,
    summary: str,
    *,
    request: Any = None,
    response: Any = None,
    status: int = 200,
    query: tuple[str, ...] = (),
    errors: tuple[int, ...] = (),
    public: bool = False,
    operation_id: str | None = None,
    ends_as: int = 0,
    also: Mapping[tuple[int, str], Any] | None = None,
    media: str = "",
) -> Callable[[Any], Any]:
    """Decorate one method of a view. ``query`` names its query parameters. ``ends_as``: short work,
    whose answer with this status is held until it ends; before that it is the operation alone.
    ``also`` are answers in other media types: ``{(200, "text/plain"): OpenApiTypes.STR}``; ``media`` is
    that of the one with ``status``."""
    bodily = (413,) if request is not None else ()
    answers: dict[Any, Any] = {
        code: OpenApiResponse(ErrorSerializer, description=_TEXTS[code])
        for code in (*_ALWAYS, *bodily, *errors)
    }
    answers[(status, media) if media else status] = (
        OpenApiResponse(response) if response is not None else OpenApiResponse(description="Done")
    )
    if ends_as:
        del answers[status]
        answers[ends_as] = OpenApiResponse(response, description="It ended well")
        answers[202] = OpenApiResponse(Accepted, description="It has not ended yet")
        query = (*query, "wait")
    if status == 202:
        answers[200] = OpenApiResponse(response, description="With wait: it ended well")
        answers[201] = OpenApiResponse(response, description="With wait: it was created")
        query = (*query, "wait")
    answers.update(also or {})
    parameters = [
        OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.QUERY, required=False) for name in query
    ]
    return extend_schema(
        tags=[tag],
        summary=summary,
        request=request,
        responses=answers,
        parameters=parameters,
        auth=[] if public else None,
        operation_id=operation_id,
    )
