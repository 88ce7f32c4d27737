"""The unified layer as a Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig

from compute.admin_words import admin_words_lay
from compute.backends.registry import backend_register_entry_points


class ComputeConfig(AppConfig):
    name = "compute"
    verbose_name = "Compute"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        backend_register_entry_points()


class LibGoAdminConfig(AdminConfig):
    default_site = "compute.admin_site.LibGoAdminSite"

    def ready(self) -> None:
        super().ready()
        admin_words_lay()
