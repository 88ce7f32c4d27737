"""``/kvm/vms/:id/migrate``: the same move under the name that KVM's own rows have."""

from __future__ import annotations

from django.urls import path

from compute.api.migrate_views import Migrate, MigrateCheck

urlpatterns = [
    path("kvm/vms/<str:instance_id>/migrate", Migrate.as_view()),
    path("kvm/vms/<str:instance_id>/migrate/check", MigrateCheck.as_view()),
]
