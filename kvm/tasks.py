"""What must happen by itself for KVM alone."""

from __future__ import annotations

import shutil
import time
import uuid
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from compute.states import ACTIVE_OPERATION_STATES
from kvm.models import Export
from kvm.selectors.exports import exports_folder
from kvm.services.exports import export_remove
from kvm.services.imports import spool_folder

# A folder that no row names may belong to an export that is being asked for right now.
_ORPHAN_AFTER_S = 3600.0
# An upload may be under way for long; its folder is removed by whoever works on it.
_SPOOL_AFTER_S = 2 * 86400.0


@shared_task(ignore_result=True)
def exports_sweep() -> None:
    """Throw away exports that are too old or, oldest first, too many bytes; and files of nobody."""
    kept = settings.LIBGO["libvirt"]
    idle = Export.objects.exclude(operation__state__in=sorted(ACTIVE_OPERATION_STATES))
    days = kept["export_days"]
    if days:
        for row in idle.filter(created_at__lt=timezone.now() - timedelta(days=days)):
            export_remove(row)
    room = kept["export_max_gb"] * 1024**3
    for row in idle.filter(finished_at__isnull=False).order_by("-created_at"):
        room -= row.size_bytes or 0
        if kept["export_max_gb"] and room < 0:
            export_remove(row)
    _orphans_remove()


def _orphans_remove() -> None:
    known = {str(pk) for pk in Export.objects.values_list("pk", flat=True)}
    for parent, after_s in ((exports_folder(), _ORPHAN_AFTER_S), (spool_folder(), _SPOOL_AFTER_S)):
        for folder in parent.iterdir() if parent.is_dir() else []:
            age_s = time.time() - folder.lstat().st_mtime
            if folder.name not in known and _is_uuid(folder.name) and age_s > after_s:
                shutil.rmtree(folder, ignore_errors=True)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
