"""Routes of adoption."""

from __future__ import annotations

from django.urls import path

from compute.api import adoption_views as v

urlpatterns = [
    path("compute/instances/adopt", v.AdoptMany.as_view()),
    path("compute/instances/<str:instance_id>/adopt", v.AdoptOne.as_view()),
]
