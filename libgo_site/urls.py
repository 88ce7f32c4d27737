"""Where everything is."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from compute.api.schema_view import Schema
from libgo_site.static_moved import static_moved

urlpatterns = [
    # First what begins with words of its own: an address is compared with one route after the other.
    path("api/v1/docker/", include("dockerapp.api.urls")),
    path("api/v1/", include("kvm.api.urls")),
    path("api/v1/", include("compute.api.urls")),
    path("docker/", include("dockerapp.urls")),
    path("kvm/", include("kvm.urls")),
    path("", include("compute.api.health_routes")),
    path("", include("compute.urls")),
    path("api/schema", Schema.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api_docs"),
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}img/icon.svg")),
    path("static/<path:name>", static_moved, name="static_moved"),
    path("admin/", admin.site.urls),
]
handler400 = "compute.api.errors.bad_request"
handler403 = "compute.api.errors.permission_denied"
handler404 = "compute.api.errors.not_found"
handler500 = "compute.api.errors.server_error"
