"""The Django admin behind the one door: it has no login of its own, past throttling and second factor."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from compute.models import User
from compute.selectors.access import second_factor_missing


class LibGoAdminSite(AdminSite):
    site_header = site_title = "LibGo"

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return super().has_permission(request) and isinstance(user, User) and not second_factor_missing(user)

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect("profile" if request.user.is_staff else "dashboard")
        back = urlencode({"next": request.GET.get("next", "/admin/")}, safe="/")
        return redirect(f"{reverse('login')}?{back}")
