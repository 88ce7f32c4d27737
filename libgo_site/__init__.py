"""Wiring: settings, processes, launcher. Nothing else imports it."""

from libgo_site.celery import app as celery_app

__all__ = ["celery_app"]
