"""Logging in and out, with the same limits and audit as over REST."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from compute.api.exception_handler import HTTP_STATUS
from compute.errors import ComputeError, RateLimited
from compute.models import User
from compute.services.sign_in import (
    OIDC,
    challenge_make,
    challenge_pass,
    oidc_end,
    oidc_session_end,
    oidc_start,
    page_begin,
    password_check,
)
from compute.services.sign_ins import Visitor, session_ended

_NEXT, _ELSEWHERE = "login_next", "logout_elsewhere"
_MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


@require_http_methods(["GET", "POST"])
def log_in(request: HttpRequest) -> HttpResponse:
    """Password, then the code where the account has a second factor: two steps of one form."""
    target = _target(request)
    if request.user.is_authenticated:
        return redirect(target or "dashboard")
    context = _context(request, target)
    if request.method != "POST":
        return render(request, "login.html", context)
    challenge = request.POST.get("challenge", "")
    try:
        if challenge:
            user, method = challenge_pass(challenge, _word(request, "code"), visitor_of(request))
        else:
            words = _word(request, "username"), _word(request, "password")
            user, method = password_check(*words, visitor_of(request))
            if user.second_factor == "totp":
                context |= challenge_make(user, method)
                return render(request, "login.html", context)
    except ComputeError as error:
        return _again(request, {**context, "challenge": challenge}, error)
    session_begin(request, user, method)
    return redirect(target or "dashboard")


@require_GET
def oidc_log_in(request: HttpRequest) -> HttpResponseBase:
    """Off to the sign-in provider. A link, because a form may not lead to another site (CSP)."""
    back = request.build_absolute_uri(reverse("login_oidc_back"))
    try:
        away = oidc_start(request, back, visitor_of(request))
    except ComputeError as error:
        return _again(request, _context(request, ""), error)
    # Only now: strangers who come too often, or for nothing, make no sessions.
    request.session[_NEXT] = _target(request)
    return away


@require_GET
def oidc_back(request: HttpRequest) -> HttpResponse:
    """Back from the sign-in provider."""
    target = request.session.pop(_NEXT, "")
    try:
        back_to = request.build_absolute_uri(reverse("logged_out"))
        user, logout_url = oidc_end(request, back_to, visitor_of(request))
    except ComputeError as error:
        return _again(request, _context(request, target), error)
    session_begin(request, user, OIDC)
    request.session[_ELSEWHERE] = logout_url
    return redirect(target or "dashboard")


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """Ends LibGo's session; the provider's goes on until one ends it there."""
    elsewhere = request.session.get(_ELSEWHERE, "")
    key = request.session.session_key or ""
    logout(request)
    # Only now: what is open asks again at once, and must not find the session.
    session_ended(key)
    if not elsewhere:
        return redirect("login")
    request.session[_ELSEWHERE] = elsewhere
    return redirect("logged_out")


@require_GET
def logged_out(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("dashboard")
    context = {"elsewhere": request.session.get(_ELSEWHERE, ""), "provider": settings.LIBGO["oidc"]["name"]}
    return render(request, "logged_out.html", context)


def _context(request: HttpRequest, target: str) -> dict[str, str]:
    oidc = settings.LIBGO["oidc"]
    provider = oidc["name"] if oidc["issuer"] else ""
    return {"next": target, "username": request.POST.get("username", ""), "provider": provider}


def session_begin(request: HttpRequest, user: User, method: str) -> None:
    """Let the account in, with a session of its own key, and record it. One that a provider vouched for ends
    at a fixed time, whatever is done in it: then the provider is asked again who this is."""
    login(request, user, backend=_MODEL_BACKEND)
    session = request.session
    if method == OIDC:
        session.set_expiry(oidc_session_end())
    session.save()
    page_begin(user, method, session.session_key or "", session.get_expiry_date(), visitor_of(request))


def visitor_of(request: HttpRequest) -> Visitor:
    return Visitor(
        request.META.get("REMOTE_ADDR") or "",
        request.headers.get("User-Agent", ""),
        getattr(request, "request_id", ""),
    )


def _again(request: HttpRequest, context: dict[str, str], error: ComputeError) -> HttpResponse:
    """The form once more, with what was wrong; from the start when the challenge is over."""
    if (
        context.get("challenge")
        and not error.details.get("second_factor")
        and not isinstance(error, RateLimited)
    ):
        context["challenge"] = ""
    context["message"] = error.message
    response = render(request, "login.html", context, status=HTTP_STATUS[error.code])
    if isinstance(error, RateLimited):
        response["Retry-After"] = str(error.details["retry_after"])
    return response


def _word(request: HttpRequest, name: str) -> str:
    return request.POST.get(name, "").replace("\x00", "")


def _target(request: HttpRequest) -> str:
    target = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure())
    return target if is_ours else ""
