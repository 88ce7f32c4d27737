"""``/ws/v1`` of what only Docker has."""

from __future__ import annotations

from django.urls import path

from dockerapp.consumers.stack_logs import StackLogs

websocket_urlpatterns = [
    path("ws/v1/stacks/<str:node>/<str:name>/logs", StackLogs.as_asgi()),
]
