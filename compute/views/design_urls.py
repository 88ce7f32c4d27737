"""The page of components: only where LibGo is worked on."""

from __future__ import annotations

from django.conf import settings
from django.urls import path

from compute.views import design

urlpatterns = [path("design/", design.design, name="design")] if settings.DEBUG else []
