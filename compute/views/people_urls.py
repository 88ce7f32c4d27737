"""The pages of projects and accounts."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from compute.selectors.access import projects_matter
from compute.views import people

urlpatterns = [
    path("projects", people.project_list, name="projects"),
    path("projects/<uuid:project_id>", people.project_detail, name="project"),
    path("projects/<uuid:project_id>/<str:what>", people.project_change, name="project_change"),
    path("users", people.user_list, name="users"),
    path("users/<uuid:user_id>", people.user_detail, name="user"),
    path("users/<uuid:user_id>/<str:what>", people.user_change, name="user_change"),
]
menu_register(
    MenuEntry("Manage", "Projects", "projects", "project.read", 30, "project", when=projects_matter),
    MenuEntry("Manage", "Users", "users", "user.read", 50, "user"),
)
