"""The pages of templates."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from compute.views import templates as t

urlpatterns = [
    path("templates", t.template_list, name="templates"),
    path("templates/new", t.template_new, name="template_new"),
    path("templates/<uuid:template_id>", t.template_detail, name="template"),
    path("templates/<uuid:template_id>/use", t.template_use, name="template_use"),
    path("templates/<uuid:template_id>/edit", t.template_edit, name="template_edit"),
    path("templates/<uuid:template_id>/remove", t.template_remove, name="template_remove"),
]
menu_register(
    MenuEntry("Manage", "Templates", "templates", "template.read", 10, "template"),
    MenuEntry("", "New template", "template_new", "template.create", 40),
)
