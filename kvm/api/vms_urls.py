"""The routes of the API from before Docker."""

from __future__ import annotations

from django.urls import URLPattern, path

from kvm.api import vms as v

urlpatterns: list[URLPattern] = [
    path("vms", v.Vms.as_view()),
    path("vms/<str:name>", v.VmDetail.as_view()),
    path("vms/<str:name>/start", v.VmStart.as_view()),
    path("vms/<str:name>/stop", v.VmStop.as_view()),
    path("vms/<str:name>/restart", v.VmRestart.as_view()),
]
