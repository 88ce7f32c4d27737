"""The pages of what only KVM has."""

from __future__ import annotations

from django.urls import URLPattern

from kvm.views.copy_urls import copy_urls

urlpatterns: list[URLPattern] = [
    *copy_urls,
]
