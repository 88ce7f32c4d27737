"""One's own account: password, second factor, personal tokens, sessions. Every form works without
JavaScript; what is shown once is shown in the answer to its form."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from compute.errors import ComputeError, InvalidInput
from compute.models import User
from compute.services import accounts, projects, second_factor, sign_ins, tokens
from compute.states import TOKEN_SCOPES
from compute.views.common import actor_of, number, page
from compute.wording import later, word_text

_LIVES_DAYS = (7, 30, 90, 365)
_SCOPE_WORDS = {
    "read": later("Read: look at everything, change nothing"),
    "operate": later("Operate: everything but administration"),
    "admin": later("Admin: all that you may"),
}


@require_GET
@page
def profile(request: HttpRequest) -> HttpResponse:
    return _profile(request)


@require_POST
@page
def account_change(request: HttpRequest) -> HttpResponse:
    def change() -> None:
        given = {name: _word(request, name) for name in ("email", "language") if name in request.POST}
        accounts.profile_update(actor_of(request), given)

    return _done(request, "account", change)


@require_POST
@page
def password_change(request: HttpRequest) -> HttpResponse:
    def change() -> None:
        if _word(request, "new_password") != _word(request, "again"):
            raise InvalidInput.field("again", "is not the same as the new password.")
        actor, before = actor_of(request), request.session.session_key or ""
        accounts.password_change(actor, _word(request, "old_password"), _word(request, "new_password"))
        update_session_auth_hash(request, User.objects.get(pk=actor.user_id))
        request.session.save()
        sign_ins.session_renamed(before, request.session.session_key or "")

    return _done(request, "password", change)


@require_POST
@page
def token_new(request: HttpRequest) -> HttpResponse:
    given: dict[str, Any] = {
        "name": _word(request, "name"),
        "scopes": [word for word in request.POST.getlist("scopes") if word],
    }
    chosen = [word for word in request.POST.getlist("projects") if word]
    if chosen:
        given["projects"] = chosen
    days = number(request.POST.get("days"), 0)
    if days:
        given["expires_at"] = timezone.now() + timedelta(days=days)
    try:
        shape, text = tokens.token_create(actor_of(request), given)
    except ComputeError as error:
        return _profile(request, "tokens", error, given=given)
    return _secret(_profile(request, "tokens", made={**shape, "token": text}))


@require_POST
@page
def token_revoke(request: HttpRequest, token_id: uuid.UUID) -> HttpResponse:
    tokens.token_revoke(actor_of(request), token_id)
    return redirect("/profile#tokens")


@require_POST
@page
def session_end(request: HttpRequest, sign_in_id: uuid.UUID) -> HttpResponse:
    sign_ins.sign_in_end(actor_of(request), sign_in_id)
    return redirect("/profile#sessions")


@require_POST
@page
def factor_begin(request: HttpRequest) -> HttpResponse:
    def change() -> None:
        second_factor.factor_begin(actor_of(request), _word(request, "password"))

    return _done(request, "factor", change)


@require_POST
@page
def factor_confirm(request: HttpRequest) -> HttpResponse:
    return _codes(request, second_factor.factor_confirm)


@require_POST
@page
def recovery_renew(request: HttpRequest) -> HttpResponse:
    return _codes(request, second_factor.recovery_renew)


@require_POST
@page
def factor_off(request: HttpRequest) -> HttpResponse:
    def change() -> None:
        second_factor.factor_disable(actor_of(request), _word(request, "code"))

    return _done(request, "factor", change)


@require_GET
@page
def factor_picture(request: HttpRequest) -> HttpResponse:
    picture = second_factor.factor_picture(actor_of(request))
    if picture is None:
        raise Http404
    return _secret(HttpResponse(picture, content_type="image/svg+xml"))


def _codes(request: HttpRequest, make: Callable[[Any, str], list[str]]) -> HttpResponse:
    try:
        codes = make(actor_of(request), _word(request, "code"))
    except ComputeError as error:
        return _profile(request, "factor", error)
    return _secret(_profile(request, "factor", codes=codes))


def _done(request: HttpRequest, part: str, change: Callable[[], None]) -> HttpResponse:
    """Back to the page when it went well, else the page with what was wrong at its part."""
    try:
        change()
    except ComputeError as error:
        return _profile(request, part, error)
    return redirect(f"/profile?done={part}#{part}")


def _profile(
    request: HttpRequest, part: str = "", error: ComputeError | None = None, **more: Any
) -> HttpResponse:
    actor = actor_of(request)
    user = accounts.user_get(actor, actor.user_id)
    most = settings.LIBGO["access"]["token_max_days"]
    single = [
        (word, _("Only: %(scope)s") % {"scope": word_text(word)})
        for word in TOKEN_SCOPES
        if word not in _SCOPE_WORDS
    ]
    context = {
        "account": accounts.user_dict(user),
        "has_password": user.has_usable_password(),
        "factor": second_factor.factor_status(actor),
        "pending": second_factor.factor_pending(actor),
        "tokens": tokens.tokens_list(actor),
        "scopes": [*_SCOPE_WORDS.items(), *single],
        "lives": [days for days in _LIVES_DAYS if not most or days <= most],
        "most": most,
        "projects": projects.projects_list(actor),
        "languages": settings.LANGUAGES,
        "sessions": sign_ins.sign_ins_list(actor),
        "recent": sign_ins.sign_ins_recent(actor),
        "done": request.GET.get("done", ""),
        "part": part,
        "message": error.message if error else "",
        **more,
    }
    return render(request, "compute/profile.html", context, status=400 if error else 200)


def _secret(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response


def _word(request: HttpRequest, name: str) -> str:
    return request.POST.get(name, "").replace("\x00", "")
