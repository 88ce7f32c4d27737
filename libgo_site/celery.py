"""The Celery application: ``celery -A libgo_site worker`` and ``beat``."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "libgo_site.settings.prod")

app = Celery("libgo")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Those of compute that stand above its services.
app.autodiscover_tasks(["compute"], related_name="work_tasks")


@setup_logging.connect
def _logging_is_ours(**kwargs: object) -> None:
    """Celery would replace the logging of the settings; being connected stops it."""


app.autodiscover_tasks(["compute"], related_name="sign_in_tasks")
# Found as tasks are: when the settings are complete, and in workers.
app.autodiscover_tasks(["libgo_site"], related_name="watchdog")
