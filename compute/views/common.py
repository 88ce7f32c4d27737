"""What all pages share: who is asking, errors as toasts, fragments for live regions."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.actor import Actor, Credential
from compute.api.exception_handler import HTTP_STATUS
from compute.audit import Watched, audit_watched
from compute.audit_net import Asked, request_audit
from compute.error_page import error_page
from compute.errors import ComputeError, InvalidInput, NotFound
from compute.models import User
from compute.selectors.access import actor_for
from compute.selectors.events import events_newest
from compute.states import OperationState
from compute.wording import event_text

View = Callable[..., HttpResponse]
_LEVELS = {"success": messages.SUCCESS, "danger": messages.ERROR}


def actor_of(request: HttpRequest) -> Actor:
    assert isinstance(request.user, User)
    return actor_for(
        request.user,
        remote_address=request.META.get("REMOTE_ADDR") or "",
        request_id=getattr(request, "request_id", ""),
        user_agent=request.META.get("HTTP_USER_AGENT") or "",
        credential=Credential(session_key=request.session.session_key or ""),
    )


def page(view: View, *, home: str = "instances") -> View:
    """A view for people who are logged in. A ``ComputeError`` becomes a toast or a page that says it;
    a live region whose subject is gone is told to leave for the page named ``home``."""

    @wraps(view)
    @login_required
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.headers.get("HX-Request"):
            # Before anything is read for it: what happens from now on its script will hear of or ask for.
            request.event_seq = events_newest()  # type: ignore[attr-defined]
        try:
            with audit_watched() as seen:
                response = view(request, *args, **kwargs)
            _audit(request, _ended(request, response, seen), is_told=seen.is_told or _is_redrawn(response))
            return _without_script(request, response, home)
        except ComputeError as error:
            status = HTTP_STATUS.get(error.code, 500)
            _audit(request, Asked(*_asked(request), status, error.code, error.details), is_told=False)
            if request.headers.get("HX-Request") and request.method != "GET":
                return toast(error.message, "danger")
            if request.headers.get("HX-Request") and isinstance(error, NotFound):
                return _trigger("gone", {"to": reverse(home)})
            return error_page(request, error.message, status)

    return wrapped


def _asked(request: HttpRequest) -> tuple[str, str, str]:
    """Method, route and path."""
    match = request.resolver_match
    return request.method or "", match.route if match else "", request.path


def _ended(request: HttpRequest, response: HttpResponse, seen: Watched) -> Asked:
    """A page that shows beside its form what the matrix refused was refused all the same."""
    if seen.refused and not seen.is_told and request.method != "GET":
        return Asked(*_asked(request), 403, "PERMISSION_DENIED", seen.refused)
    return Asked(*_asked(request), response.status_code)


def _is_redrawn(response: HttpResponse) -> bool:
    """A form that comes back, or a look at what would be: nothing was changed. What was done is answered
    with another page or a word."""
    return response.status_code == 200 or '"kind": "danger"' in response.get("HX-Trigger", "")


def _audit(request: HttpRequest, asked: Asked, *, is_told: bool) -> None:
    """After signing out nobody is there to be named; the sign-out itself was told."""
    if request.user.is_authenticated:
        request_audit(actor_of(request), asked, is_told=is_told)


def name_confirm(request: HttpRequest, name: str) -> None:
    """What cannot be taken back asks for the name (``compute/_confirm_name.html``). Raises
    ``InvalidInput``."""
    if request.POST.get("confirm", "").strip() != name:
        raise InvalidInput(_("Type “%(name)s” to confirm; nothing was done.") % {"name": name})


def toast(text: str, kind: str = "success") -> HttpResponse:
    """No content, but a word to the person who clicked."""
    return _trigger("toast", {"text": event_text(str(text)), "kind": kind})


def _without_script(request: HttpRequest, response: HttpResponse, home: str) -> HttpResponse:
    """A browser that ran no script asked: what a toast would say stands on the page one came from."""
    if request.headers.get("HX-Request") or "text/html" not in request.headers.get("Accept", ""):
        return response
    said = json.loads(response.get("HX-Trigger", "{}")).get("toast")
    if said is None:
        return response
    messages.add_message(request, _LEVELS.get(said["kind"], messages.INFO), said["text"])
    came_from = urlsplit(request.headers.get("Referer", ""))
    is_ours = came_from.netloc == request.get_host()
    return redirect(came_from._replace(scheme="", netloc="").geturl() if is_ours else reverse(home))


def gone(request: HttpRequest, to: str) -> HttpResponse:
    """What was asked for is no more, and ``to`` says why: a live region is told, a page goes there."""
    return _trigger("gone", {"to": to}) if request.headers.get("HX-Request") else redirect(to)


def _trigger(name: str, detail: dict[str, str]) -> HttpResponse:
    """No content, but an event for the page's script."""
    response = HttpResponse(status=204)
    response["HX-Trigger"] = json.dumps({name: detail}, ensure_ascii=True)
    return response


def page_of(home: str) -> Callable[[View], View]:
    """``page`` for the pages of another noun."""
    return partial(page, home=home)


def coloured(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Operations, and the children of those that have some, with the colour of their state."""
    for row in rows:
        for each in (row, *(row.get("children") or ())):
            waits = each["state"] == "waiting"
            each["colour"] = "secondary" if waits else OperationState(each["state"]).colour
    return rows


def number(value: str | None, default: int) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 7 else default
