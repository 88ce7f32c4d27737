"""Celery's view of signing in, above the services."""

from __future__ import annotations

from celery import shared_task

from compute.errors import BackendUnavailable
from compute.services.directory import ldap_refresh


@shared_task(ignore_result=True)
def directory_refresh() -> None:
    """Look again at the people of outside directories; a directory that is away is asked the next time."""
    try:
        ldap_refresh()
    except BackendUnavailable:
        return
