"""The pages of what only Docker has."""

from __future__ import annotations

from django.urls import URLPattern

from dockerapp.views.stack_urls import stack_urls

urlpatterns: list[URLPattern] = [*stack_urls]
