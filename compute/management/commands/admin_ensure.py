"""``manage.py admin_ensure``: an administrator, if there is none yet."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand

from compute.models import User


class Command(BaseCommand):
    help = "Make the account “admin” with LIBGO_ADMIN_PASSWORD unless there is an administrator."

    def handle(self, *args: Any, **options: Any) -> None:
        if User.objects.filter(is_superuser=True).exists():
            return
        password = os.environ.get("LIBGO_ADMIN_PASSWORD")
        if not password:
            self.stderr.write("LIBGO_ADMIN_PASSWORD is not set, so no administrator was made.")
            return
        User.objects.create_superuser("admin", "", password)
        if os.environ.get("LIBGO_ADMIN_PASSWORD_SHOW") == "1":
            self.stdout.write(
                f"Log in as admin with the password {password} (shown once; change it in the profile)"
            )
