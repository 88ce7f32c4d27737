"""The routes below ``/api/v1/kvm/vms/:id`` about the inside of a machine."""

from __future__ import annotations

from django.urls import URLPattern, path

from kvm.api import inside as i

_ONE = "kvm/vms/<str:machine_id>"
urlpatterns: list[URLPattern] = [
    path(f"{_ONE}/screenshot", i.Screenshot.as_view()),
    path(f"{_ONE}/cloud-init", i.CloudInit.as_view()),
    path(f"{_ONE}/guest", i.Guest.as_view()),
    path(f"{_ONE}/guest/files", i.GuestFiles.as_view()),
]
