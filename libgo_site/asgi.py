"""One port: HTTP on a pool of threads through WSGI (a sixth of the CPU per request of Django's own
ASGI path), WebSockets through Channels."""

from __future__ import annotations

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "libgo_site.settings.prod")

from libgo_site.bridge import WsgiBridge  # noqa: E402, I001
from libgo_site.wsgi import application as wsgi_application  # noqa: E402
from compute.api.transfers import TransferMiddleware  # noqa: E402
from compute.api.waiting import WaitMiddleware  # noqa: E402
from compute import routing as compute_routing  # noqa: E402
from dockerapp import routing as docker_routing  # noqa: E402
from kvm import routing as kvm_routing  # noqa: E402

# Last what takes every other path.
websocket_urlpatterns = [
    *docker_routing.websocket_urlpatterns,
    *kvm_routing.websocket_urlpatterns,
    *compute_routing.websocket_urlpatterns,
]

# Routes announce which bodies stream past them: known before the first request.
get_resolver()._populate()

application = ProtocolTypeRouter(
    {
        "http": TransferMiddleware(WaitMiddleware(WsgiBridge(wsgi_application, workers=16))),
        "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
    }
)
