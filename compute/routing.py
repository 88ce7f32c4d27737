"""``/ws/v1``."""

from __future__ import annotations

from django.urls import path, re_path

from compute import consumers as c

_INSTANCE = "ws/v1/instances/<str:instance_id>"
websocket_urlpatterns = [
    path("ws/v1/events", c.Events.as_asgi()),
    path("ws/v1/operations/<str:operation_id>", c.OperationSocket.as_asgi()),
    path("ws/v1/usage", c.UsageOfMany.as_asgi()),
    path(f"{_INSTANCE}/logs", c.Logs.as_asgi()),
    path(f"{_INSTANCE}/stats", c.Stats.as_asgi()),
    path(f"{_INSTANCE}/exec", c.Exec.as_asgi()),
    path(f"{_INSTANCE}/attach", c.Attach.as_asgi()),
    path(f"{_INSTANCE}/console", c.Console.as_asgi()),
    path(f"{_INSTANCE}/vnc", c.Graphics.as_asgi()),
    re_path(r"^.*$", c.Nowhere.as_asgi()),
]
