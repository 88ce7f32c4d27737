"""Routes of snapshots (the older ones), exports and imports."""

from __future__ import annotations

from django.urls import path

from kvm.api import exports as e
from kvm.api import legacy_snapshots as legacy
from kvm.api.imports import InstanceImport

urlpatterns = [
    path("compute/instances/import", InstanceImport.as_view()),
    path("compute/instances/<str:instance_id>/export", e.InstanceExport.as_view()),
    path("exports", e.Exports.as_view()),
    path("exports/<str:export_id>", e.ExportDetail.as_view()),
    path("exports/<str:export_id>/download", e.ExportDownload.as_view()),
    path("vms/<str:name>/snapshots", legacy.VmSnapshots.as_view()),
    path("vms/<str:name>/snapshots/<str:snapshot>", legacy.VmSnapshot.as_view()),
    path("vms/<str:name>/snapshots/<str:snapshot>/revert", legacy.VmSnapshotRevert.as_view()),
    path("vms/<str:name>/export", legacy.VmExport.as_view()),
]
