"""Logging in and out, with the same limits and audit as over REST."""

from __future__ import annotations

from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from compute.errors import ComputeError, RateLimited
from compute.models import User
from compute.services.sign_in import challenge_make, challenge_pass, page_begin, password_check
from compute.services.sign_ins import Visitor, session_ended

_MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


@require_http_methods(["GET", "POST"])
def log_in(request: HttpRequest) -> HttpResponse:
    """Password, then the code where the account has a second factor: two steps of one form."""
    target = _target(request)
    if request.user.is_authenticated:
        return redirect(target or "dashboard")
    context = {"next": target, "username": request.POST.get("username", "")}
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


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    session_ended(request.session.session_key or "")
    logout(request)
    return redirect("login")


def session_begin(request: HttpRequest, user: User, method: str) -> None:
    """Let the account in, with a session of its own key, and record it."""
    login(request, user, backend=_MODEL_BACKEND)
    session = request.session
    session.save()
    page_begin(user, method, session.session_key or "", session.get_expiry_date(), visitor_of(request))


def visitor_of(request: HttpRequest) -> Visitor:
    return Visitor(request.META.get("REMOTE_ADDR") or "", request.headers.get("User-Agent", ""))


def _again(request: HttpRequest, context: dict[str, str], error: ComputeError) -> HttpResponse:
    """The form once more, with what was wrong; from the start when the challenge is over."""
    if context["challenge"] and not error.details.get("second_factor") and not isinstance(error, RateLimited):
        context["challenge"] = ""
    context["message"] = error.message
    response = render(request, "login.html", context, status=401)
    if isinstance(error, RateLimited):
        response.status_code = 429
        response["Retry-After"] = str(error.details["retry_after"])
    return response


def _word(request: HttpRequest, name: str) -> str:
    return request.POST.get(name, "").replace("\x00", "")


def _target(request: HttpRequest) -> str:
    target = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure())
    return target if is_ours else ""
