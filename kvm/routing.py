"""The sockets of what only KVM has: the older ones, outside ``/ws/v1``."""

from __future__ import annotations

from django.urls import path

from kvm.consumers.vms import VmConsole, VmMonitor

websocket_urlpatterns = [
    path("ws/vms/<str:name>", VmMonitor.as_asgi()),
    path("ws/vms/<str:name>/console", VmConsole.as_asgi()),
]
