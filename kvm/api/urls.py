"""``/api/v1``: every route that only KVM has; each noun brings its own."""

from __future__ import annotations

from django.urls import URLPattern

from kvm.api.export_urls import export_urls
from kvm.api.inside_urls import inside_urls
from kvm.api.machine_urls import machine_urls
from kvm.api.migrate_urls import migrate_urls
from kvm.api.network_urls import network_urls
from kvm.api.storage_urls import storage_urls
from kvm.api.vms_urls import vms_urls

urlpatterns: list[URLPattern] = [
    *export_urls,
    *migrate_urls,
    *machine_urls,
    *inside_urls,
    *network_urls,
    *storage_urls,
    *vms_urls,
]
