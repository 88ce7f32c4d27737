"""``manage.py prepare``: everything a start needs from the database, in one process."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection

from compute.audit_guards import guards_lay
from compute.translations.build import catalogues_build


class Command(BaseCommand):
    help = "Migrate, make the administrator, register the local engines, build the catalogues of languages."
    # They load every page and route, which takes longer than all else here; the web process loads these too.
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        guards_lay(connection)
        catalogues_build()
        call_command("admin_ensure", stdout=self.stdout)
        call_command("nodes_ensure", stdout=self.stdout)
