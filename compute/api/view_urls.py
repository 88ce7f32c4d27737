"""Routes of saved views."""

from __future__ import annotations

from django.urls import path

from compute.api import view_views as v

urlpatterns = [
    path("profile/views", v.SavedViews.as_view()),
    path("profile/views/<int:view_id>", v.SavedViewDetail.as_view()),
]
