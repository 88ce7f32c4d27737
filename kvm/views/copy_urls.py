"""Pages of snapshots, clones, exports and imports."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from kvm.views import clones, exports, snapshots

_MACHINE = "machines/<uuid:instance_id>"
urlpatterns = [
    path(f"{_MACHINE}/snapshots", snapshots.machine_snapshots, name="machine_snapshots"),
    path(f"{_MACHINE}/snapshots/new", snapshots.snapshot_new, name="machine_snapshot_new"),
    path(f"{_MACHINE}/snapshots/restore", snapshots.snapshot_back, name="machine_snapshot_restore"),
    path(f"{_MACHINE}/snapshots/delete", snapshots.snapshot_remove, name="machine_snapshot_delete"),
    path(f"{_MACHINE}/clone", clones.machine_clone, name="machine_clone"),
    path(f"{_MACHINE}/export", exports.machine_export, name="machine_export"),
    path("import", clones.machine_import, name="kvm_import"),
    path("exports", exports.export_list, name="kvm_exports"),
    path("exports/<uuid:export_id>/delete", exports.export_remove, name="kvm_export_delete"),
]
menu_register(
    MenuEntry("KVM", "Import a machine", "kvm_import", "instance.create", 20, backend="kvm"),
    MenuEntry("KVM", "Exports", "kvm_exports", "export.read", 60, "kvm_export", backend="kvm"),
)
