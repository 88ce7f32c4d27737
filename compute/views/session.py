"""Logging in and out, with the same limits and audit as over REST."""

from __future__ import annotations

from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from compute.errors import ComputeError
from compute.services.accounts import credentials_check


@require_http_methods(["GET", "POST"])
def log_in(request: HttpRequest) -> HttpResponse:
    target = request.POST.get("next") or request.GET.get("next") or ""
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()):
        target = ""
    if request.user.is_authenticated:
        return redirect(target or "dashboard")
    message = ""
    if request.method == "POST":
        try:
            address = request.META.get("REMOTE_ADDR") or ""
            username, password = request.POST.get("username", ""), request.POST.get("password", "")
            login(request, credentials_check(username.replace("\x00", ""), password, address))
            return redirect(target or "dashboard")
        except ComputeError as error:
            message = error.message
    context = {"message": message, "next": target, "username": request.POST.get("username", "")}
    return render(request, "login.html", context, status=401 if message else 200)


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("login")
