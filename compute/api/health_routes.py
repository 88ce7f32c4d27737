"""Outside ``/api/v1``: health for supervisors and load balancers, metrics for Prometheus."""

from __future__ import annotations

from django.urls import path

from compute.api import health_views, metrics_views

urlpatterns = [
    path("health", health_views.Overall.as_view()),
    path("health/liveness", health_views.Liveness.as_view()),
    path("health/readiness", health_views.Readiness.as_view()),
    path("metrics", metrics_views.Metrics.as_view()),
]
