"""``/api/v1/docker``: every route of the Docker API; each noun brings its own."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
