"""The routes of libvirt's networks."""

from __future__ import annotations

from django.urls import URLPattern, path

from kvm.api import networks as n

urlpatterns: list[URLPattern] = [
    path("networks", n.Networks.as_view()),
    path("networks/<str:network>", n.NetworkDetail.as_view()),
    path("networks/<str:network>/start", n.NetworkStart.as_view()),
    path("networks/<str:network>/stop", n.NetworkStop.as_view()),
    path("networks/<str:network>/leases", n.NetworkLeases.as_view()),
]
