"""Routes of work on many instances and of work that comes again."""

from __future__ import annotations

from django.urls import path

from compute.api import bulk_views as b

urlpatterns = [
    path("compute/instances/bulk", b.InstancesBulk.as_view()),
]
