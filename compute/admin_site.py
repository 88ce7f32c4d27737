"""The Django admin behind the one door: it has no login of its own, past throttling and second factor, and
asks the matrix as everybody does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from compute.errors import ComputeError
from compute.models import User
from compute.selectors.access import action_allowed, second_factor_missing
from compute.told import told_text
from compute.views.common import actor_of


class LibGoAdminSite(AdminSite):
    site_header = site_title = "LibGo"

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        if not super().has_permission(request) or not isinstance(user, User) or second_factor_missing(user):
            return False
        return action_allowed(actor_of(request), "site.admin")

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect("profile" if request.user.is_staff else "dashboard")
        back = urlencode({"next": request.GET.get("next", "/admin/")}, safe="/")
        return redirect(f"{reverse('login')}?{back}")


class MatrixAdmin(ModelAdmin):
    """Whether somebody may is what the matrix says to ``<noun>.<verb>``; Django's own permissions count for
    nothing. ``verbs`` says which action each kind of change is; what is not there cannot be done here, and a
    change goes through the service that has it, which tells the audit and whoever is connected."""

    noun = "site"
    verbs: dict[str, str] = {}

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what the list shows or offers as a filter: what it does not show (seals, hashes, parameters)
        cannot be guessed letter by letter either."""
        offered = {str(name) for name in (*self.list_display, *self.list_filter, self.date_hierarchy, "id")}
        hidden = set(self.exclude or ())
        return lookup.partition("__")[0] in offered - hidden and super().lookup_allowed(
            lookup, value, request
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        return action_allowed(actor_of(request), "site.admin")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "view")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "delete")

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._said(request, lambda: super(MatrixAdmin, self).changeform_view(request, *args, **kwargs))

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._said(request, lambda: super(MatrixAdmin, self).delete_view(request, *args, **kwargs))

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._said(request, lambda: super(MatrixAdmin, self).changelist_view(request, *args, **kwargs))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """All of them, or none."""
        with transaction.atomic():
            for row in queryset:
                self.delete_model(request, row)

    def _may(self, request: HttpRequest, kind: str) -> bool:
        actor = actor_of(request)
        if not action_allowed(actor, "site.admin"):
            return False
        verb = self.verbs.get(kind)
        return kind == "view" if verb is None else action_allowed(actor, f"{self.noun}.{verb}")

    def _said(self, request: HttpRequest, ask: Callable[[], HttpResponse]) -> HttpResponse:
        """Django has taken back what was begun; the page says why."""
        try:
            return ask()
        except ComputeError as error:
            words = "; ".join(
                f"{name} {told_text(text)}" for name, text in error.details.get("fields", {}).items()
            )
            self.message_user(request, words or told_text(error.message), messages.ERROR)
            return redirect(request.get_full_path())


class ReadOnly(MatrixAdmin):
    """Written by LibGo itself: changing it by hand would make it untrue."""
