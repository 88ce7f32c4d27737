"""``manage.py directory_check``: whether the outside directories of libgo.yaml can be asked."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError

from compute.directories.ldap import ldap_look
from compute.directories.oidc import oidc_look
from compute.services.directory import grants_problems


class Command(BaseCommand):
    help = "One line for each finding, beginning with ok or FIX; exit code 1 when one is to be mended."

    def handle(self, *args: Any, **options: Any) -> None:
        lines = []
        for name, key, look in (("single sign-on", "oidc", oidc_look), ("LDAP", "ldap", ldap_look)):
            config = settings.LIBGO[key]
            address = config.get("issuer") or config.get("uri")
            if address:
                problem = look(config)
                said = f"ok {name} at {address} answers"
                lines.append(f"FIX {name} at {address}: {problem}" if problem else said)
        try:
            lines += [f"FIX {problem}" for problem in grants_problems()]
        except DatabaseError:
            lines.append("FIX the database cannot be read: ./libgo up makes it")
        for line in lines:
            self.stdout.write(line)
        if any(line.startswith("FIX") for line in lines):
            sys.exit(1)
