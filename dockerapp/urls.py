"""The pages of what only Docker has."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
