"""Routes of backups."""

from __future__ import annotations

from django.urls import path

from compute.api import backup_views as v

urlpatterns = [
    path("compute/instances/<str:instance_id>/backups", v.InstanceBackups.as_view()),
    path("backups", v.Backups.as_view()),
    path("backups/targets", v.BackupTargets.as_view()),
    path("backups/targets/<str:target_id>", v.BackupTargetDetail.as_view()),
    path("backups/targets/<str:target_id>/test", v.BackupTargetTest.as_view()),
    path("backups/<str:backup_id>", v.BackupDetail.as_view()),
    path("backups/<str:backup_id>/verify", v.BackupVerify.as_view()),
    path("backups/<str:backup_id>/restore", v.BackupRestore.as_view()),
]
