"""Routes of templates."""

from __future__ import annotations

from django.urls import path

from compute.api import template_views as v

urlpatterns = [
    path("compute/templates", v.Templates.as_view()),
    path("compute/templates/<str:template_id>", v.TemplateDetail.as_view()),
    path("compute/templates/<str:template_id>/instantiate", v.TemplateInstantiate.as_view()),
]
