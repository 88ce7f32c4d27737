"""The pages about the inside of a machine."""

from __future__ import annotations

from django.urls import URLPattern, path

from kvm.views import inside as i

_ONE = "machines/<uuid:instance_id>"
urlpatterns: list[URLPattern] = [
    path(f"{_ONE}/guest", i.machine_guest, name="machine_guest"),
    path(f"{_ONE}/cloud-init", i.machine_cloud_init, name="machine_cloud_init"),
]
