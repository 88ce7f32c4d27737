"""Pages of backups."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from compute.views import backup_targets as t
from compute.views import backups as v

urlpatterns = [
    path("backups", v.backup_list, name="backups"),
    path("backups/targets", t.target_list, name="backup_targets"),
    path("backups/targets/new", t.target_edit, name="backup_target_new"),
    path("backups/targets/<uuid:target_id>", t.target_edit, name="backup_target"),
    path("backups/targets/<uuid:target_id>/remove", t.target_remove, name="backup_target_remove"),
    path("backups/targets/<uuid:target_id>/test", t.target_try, name="backup_target_test"),
    path("backups/<uuid:backup_id>", v.backup_detail, name="backup"),
    path("backups/<uuid:backup_id>/restore", v.backup_back, name="backup_restore"),
    path("backups/<uuid:backup_id>/verify", v.backup_check, name="backup_verify"),
    path("backups/<uuid:backup_id>/delete", v.backup_remove, name="backup_delete"),
    path("instances/<uuid:instance_id>/backups", v.instance_backups, name="instance_backups"),
    path("instances/<uuid:instance_id>/backups/new", v.backup_new, name="backup_new"),
]
menu_register(
    MenuEntry("Manage", "Backups", "backups", "backup.read", 20, "backup"),
)
