"""``/api/v1``: every route that only KVM has; each noun brings its own."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
