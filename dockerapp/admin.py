"""Django admin: what only Docker has can be looked at; its services change it."""

from __future__ import annotations

from django.contrib import admin

from compute.admin_site import ReadOnly
from dockerapp.models import Registry


@admin.register(Registry)
class RegistryAdmin(ReadOnly):
    list_display = ("name", "host", "username", "project", "created_by", "updated_at")
    list_filter = ("project",)
    search_fields = ("name", "host", "username")
    exclude = ("password_seal",)
