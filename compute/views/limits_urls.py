"""The pages of limits."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from compute.views import limits

urlpatterns = [
    path("limits", limits.limits, name="limits"),
    path("limits/room", limits.room, name="limits_room"),
    path("limits/site", limits.site_limits_edit, name="limits_site"),
    path("limits/projects/<uuid:project_id>", limits.project_limits_edit, name="limits_project"),
    path("limits/users/<uuid:user_id>", limits.user_limits_edit, name="limits_user"),
    path("limits/nodes/<uuid:node_id>", limits.node_placement, name="limits_node"),
]
menu_register(
    MenuEntry("Manage", "Limits", "limits", "site.limits", 60, "limits"),
)
