"""The pages of what only KVM has."""

from __future__ import annotations

from django.urls import URLPattern

from kvm.views.copy_urls import copy_urls
from kvm.views.inside_urls import inside_pages
from kvm.views.machine_urls import machine_urls
from kvm.views.network_urls import network_urls
from kvm.views.storage_urls import storage_urls

urlpatterns: list[URLPattern] = [
    *copy_urls,
    *machine_urls,
    *network_urls,
    *storage_urls,
    *inside_pages,
]
