"""What all views share: strict input, ETags, paging, and answers that wait."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from compute.actor import Actor
from compute.api.authentication import request_actor
from compute.api.transfers import BODY_LENGTH_HEADER, TRANSFER_HEADER, Download, Upload, transfer_leave
from compute.api.waiting import WAIT_HEADER, wait_for
from compute.audit import audit_watched
from compute.audit_net import Asked, request_audit
from compute.errors import InvalidInput, PayloadTooLarge, PreconditionFailed
from compute.jsontext import dumps, text_problem
from compute.models import Operation, User
from compute.selectors.access import action_require
from compute.selectors.instances import instance_made
from compute.selectors.operations import operation_dict, operation_full
from compute.selectors.page import Page, RenderedPage
from compute.services.limits import limits_lock
from compute.services.sign_ins import actor_again

WAIT_MAX_S = 60
# How long an answer to short work is held when the client does not say.
SHORT_WORK_S = 30
_SHAPED_WAIT_S = 300
_INT_MAX = 2**62

Parse = Callable[[str, str], Any]
Allowed = Callable[[Actor], object]
T = TypeVar("T", Download, Upload)


def text(name: str, value: str) -> str:
    return value


def boolean(name: str, value: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False, "": True}
    if value.lower() not in words:
        raise InvalidInput.field(name, "must be true or false.")
    return words[value.lower()]


def whole(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value.lstrip("0")[:20] or 0) > _INT_MAX:
        raise InvalidInput.field(name, "must be a whole number.")
    return int(value)


def words(name: str, value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


PAGING: dict[str, Parse] = {"page": whole, "page_size": whole, "sort": words}


# No docstring: the API's page would say it of each route that has none of its own.
class ApiView(APIView):
    # Of routes that change nothing though their method says so.
    audit_exempt = False
    # Of one resource that can be changed: the body of a change, and what else of its answer tells of one.
    # Its ETag has a half of its own for these, the one that ``If-Match`` asks for: what is merely observed
    # (states, times, figures) goes on changing and must not make a change stale.
    change_shape: type[Serializer[Any]] | None = None
    also_guarded: tuple[str, ...] = ()
    # Whether a change asks an engine or another program on its way: then nothing is locked meanwhile, and its
    # service is given the condition to ask again under its own lock.
    change_takes_time = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Whatever was refused, or changed without a word, is audited here."""
        with audit_watched() as seen, ExitStack() as self._alone:
            response = super().dispatch(request, *args, **kwargs)
        if not self.audit_exempt and TRANSFER_HEADER not in response:
            self._audit(response, is_told=seen.is_told)
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Of changes with the same condition one wins: each looks and changes before the next one does."""
        super().initial(request, *args, **kwargs)
        is_change = self.change_shape is not None and request.method in ("PUT", "PATCH")
        if is_change and not self.change_takes_time:
            self._alone.enter_context(transaction.atomic())
            limits_lock()

    def _audit(self, response: HttpResponseBase, *, is_told: bool) -> None:
        user = getattr(self.request, "_user", None)
        if not isinstance(user, User):
            # Nobody, or a program that scrapes figures with a token of the site.
            return
        error = (getattr(response, "data", None) or {}).get("error") or {}
        match = self.request._request.resolver_match
        asked = Asked(
            self.request.method or "",
            match.route.removeprefix("api/v1/") if match else "",
            self.request.path,
            response.status_code,
            error.get("code", ""),
            error.get("details"),
        )
        request_audit(self.actor, asked, is_told=is_told)

    @property
    def actor(self) -> Actor:
        return request_actor(self.request)

    def query(self, known: Mapping[str, Parse], repeatable: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The query parameters, typed; unknown and repeated ones are refused. ``wait``, ``fields``
        and ``format`` belong to every route."""
        found: dict[str, Any] = {}
        for name, values in self.request.query_params.lists():
            if name in ("fields", "wait"):
                continue
            if name not in known:
                accepted = ", ".join(sorted([*known, "fields"]))
                raise InvalidInput.field(name[:50], f"is not known here; accepted: {accepted}.")
            if any("\x00" in value or len(value) > 1000 for value in values):
                raise InvalidInput.field(name, "is too long or holds a null character.")
            if name in repeatable:
                found[name] = values
            elif len(values) > 1:
                raise InvalidInput.field(name, "was given more than once.")
            else:
                found[name] = known[name](name, values[0])
        return found

    def body(self, serializer: type[Serializer[Any]] | None = None) -> dict[str, Any]:
        """The JSON object of the request, checked by ``serializer``; unknown fields are refused."""
        given = self._json()
        if serializer is None:
            if given:
                raise InvalidInput.field(next(iter(given)), "is not known here; send no body.")
            return {}
        check = serializer(data=given)
        unknown = sorted(set(given) - set(check.fields))
        if unknown:
            accepted = ", ".join(sorted(check.fields))
            raise InvalidInput.field(str(unknown[0])[:50], f"is not known here; accepted: {accepted}.")
        check.is_valid(raise_exception=True)
        return dict(check.validated_data)

    def _json(self) -> dict[str, Any]:
        try:
            raw = self.request._request.body
        except RequestDataTooBig as error:
            raise PayloadTooLarge("The body is larger than LibGo takes here.") from error
        if not raw:
            return {}
        try:
            given = self.request.data
        except RecursionError as error:
            raise InvalidInput("The body is nested too deeply.") from error
        if not isinstance(given, Mapping):
            raise InvalidInput("The body must be a JSON object.")
        if problem := text_problem(raw, given):
            raise InvalidInput(f"The body holds {problem}, which no field takes.")
        return dict(given)

    def answer(self, data: Mapping[str, Any]) -> HttpResponse:
        """200 with a weak ETag (RFC 9110, 8.8.3); 304 when the client has it; ``fields=a,b`` narrows."""
        raw = dumps(self._narrowed(data))
        return self._tagged(f"{self._guard(data)}{_hash(raw)}", lambda: raw)

    def answer_page(self, page: Page | RenderedPage, key: str = "items", **more: Any) -> HttpResponse:
        data = {"total": page.total, "page": page.page, "page_size": page.page_size, **more}
        if isinstance(page, RenderedPage) and not self.fields_wanted():
            return self._tagged(_hash(page.digest + dumps(data)), lambda: dumps({key: page.items, **data}))
        return self.answer({key: page.items, **data})

    def _tagged(self, word: str, make: Callable[[], bytes]) -> HttpResponse:
        """What ``make`` gives, for who has not got what ``word`` stands for."""
        tag = f'W/"{word}"'
        known = [word.strip() for word in self.request.headers.get("If-None-Match", "").split(",")]
        if tag in known or "*" in known:
            return HttpResponse(status=304, headers={"ETag": tag})
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        return HttpResponse(make(), content_type="application/json", headers=headers)

    def answer_operation(
        self, operation: Operation, instance: Mapping[str, Any] | None = None, *, ends_as: int | str = 200
    ) -> Response:
        """202 with the operation; held by the ASGI layer until it ends if the client waits. For who waits
        nothing is looked up before there is something to tell."""
        if self.wait_seconds():
            return self._held(operation, {}, ends_as, 0)
        body: dict[str, Any] = {"operation": operation_full(operation)}
        if instance is not None:
            body["instance"] = instance
        return self._held(operation, body, ends_as, 0)

    def answer_acted(self, operation: Operation, *, ends_as: int = 200) -> Response:
        """The same, with the instance that it works on or makes."""
        shown = None if self.wait_seconds() else instance_made(operation)
        return self.answer_operation(operation, shown, ends_as=ends_as)

    def answer_made(self, operation: Operation) -> Response:
        """The same for what makes an instance."""
        return self.answer_acted(operation, ends_as=201)

    def answer_result(self, operation: Operation, *, ends_as: int = 200) -> Response:
        """For short work: held until it ends unless the client says ``wait=0``; the body is then the
        operation's result, with the operation in it."""
        body = {"operation": operation_dict(operation)}
        return self._held(operation, body, f"{ends_as}+result", SHORT_WORK_S)

    def answer_shaped(self, operation: Operation, shape: str, *, ends_as: int = 200) -> Response:
        """For APIs that know no operations: held until it ends, then what ``shape_register`` says. What
        takes longer than anyone waits is told by a 202 with the operation."""
        response = Response({"operation": operation_dict(operation)}, status=202)
        response["Location"] = f"/api/v1/operations/{operation.pk}"
        response[WAIT_HEADER] = wait_for(self.actor, operation, _SHAPED_WAIT_S, f"{ends_as}+{shape}")
        return response

    def answer_download(
        self, download: Download, headers: Mapping[str, str], allowed: Allowed | None = None
    ) -> HttpResponse:
        """An answer whose body streams from where ``download`` opens it. While it does, account and
        credential are looked at again, and ``allowed`` is called with the actor of now, in a thread; what
        either raises breaks the transfer off."""
        private = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
        left = transfer_leave(_asked_again(self.actor, download, allowed))
        return HttpResponse(headers={**private, **headers, **left})

    def answer_upload(self, upload: Upload, allowed: Allowed | None = None) -> HttpResponse:
        """Let the body of the request stream into ``upload``, which makes the answer; ``allowed`` as for
        downloads. The route must be announced with ``upload_route``."""
        return HttpResponse(headers=transfer_leave(_asked_again(self.actor, upload, allowed)))

    @property
    def body_length(self) -> int | None:
        """Of a body that streams past the view, as the client announced it."""
        text = self.request.headers.get(BODY_LENGTH_HEADER, "")
        return int(text) if text.isdigit() else None

    def _held(
        self, operation: Operation, body: Mapping[str, Any], ends_as: int | str, default: float
    ) -> Response:
        response = Response(body, status=202, headers={"Location": f"/api/v1/operations/{operation.pk}"})
        seconds = self.wait_seconds(default)
        if seconds:
            response[WAIT_HEADER] = wait_for(self.actor, operation, seconds, ends_as)
        return response

    def wait_seconds(self, default: float = 0) -> float:
        """From ``?wait=`` or ``Prefer: wait=`` (RFC 7240), 0 to 60."""
        given = self.request.query_params.get("wait")
        if given is None:
            for part in self.request.headers.get("Prefer", "").split(","):
                name, _, value = part.strip().partition("=")
                if name == "wait":
                    given = value
        if given is None:
            return default
        try:
            seconds = float(given)
        except ValueError:
            seconds = -1
        if not 0 <= seconds <= WAIT_MAX_S:
            raise InvalidInput.field("wait", f"must be seconds between 0 and {WAIT_MAX_S}.")
        return seconds

    def precondition(self, current: Mapping[str, Any]) -> None:
        """``If-Match`` must name what is there now. Raises ``PreconditionFailed``."""
        given = self.request.headers.get("If-Match", "").strip()
        if not given or given == "*":
            return
        wanted = self._guard(current) or _hash(dumps(current))
        if not any(_opaque(word).startswith(wanted) for word in given.split(",")):
            raise PreconditionFailed("It was changed since you read it. Read it again.")

    def _guard(self, data: Mapping[str, Any]) -> str:
        """The half of the ETag for what a change may set, with the dash behind it; "" where nothing may."""
        if self.change_shape is None:
            return ""
        names = _settable(self.change_shape).union(self.also_guarded)
        return _hash(dumps({name: data[name] for name in sorted(names & data.keys())})) + "-"

    def fields_wanted(self) -> list[str]:
        """Of ``fields=a,b``; none means all."""
        return [name for name in self.request.query_params.get("fields", "").split(",") if name]

    def _narrowed(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        names = self.fields_wanted()
        if not names:
            return data
        key = next((key for key in ("items", "instances") if isinstance(data.get(key), list)), None)
        if key is None:
            return {name: data[name] for name in names if name in data}
        return {**data, key: [{name: row[name] for name in names if name in row} for row in data[key]]}


@cache
def _settable(shape: type[Serializer[Any]]) -> frozenset[str]:
    """The names of what a body of this shape may set."""
    return frozenset(name for name, field in shape().fields.items() if not field.read_only)


def _hash(raw: bytes) -> str:
    return hashlib.sha1(raw, usedforsecurity=False).hexdigest()[:20]


def _opaque(tag: str) -> str:
    """What stands inside an entity tag, weak or not (RFC 9110, 8.8.3)."""
    return tag.strip().removeprefix("W/").strip('"')


def may(action: str, project_id: uuid.UUID | None) -> Allowed:
    """Whether somebody may still do this: to a transfer that is under way."""
    return lambda now: action_require(now, action, project_id)


def _asked_again(actor: Actor, transfer: T, allowed: Allowed | None) -> T:
    def look() -> None:
        now = actor_again(actor)
        if allowed is not None:
            allowed(now)

    asked = sync_to_async(look, thread_sensitive=False)
    return replace(transfer, still_allowed=asked, person=actor.user_id)
