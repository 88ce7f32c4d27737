"""Routes of limits."""

from __future__ import annotations

from django.urls import path

from compute.api import limits_views as v

urlpatterns = [
    path("compute/limits", v.SiteLimitsView.as_view()),
    path("projects/<str:project_id>/limits", v.ProjectLimitsView.as_view()),
    path("users/<str:user_id>/limits", v.UserLimitsView.as_view()),
]
