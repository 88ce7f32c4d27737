"""The pages of what only KVM has."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
