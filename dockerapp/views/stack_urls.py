"""The pages of stacks."""

from __future__ import annotations

from django.urls import URLPattern, path

from compute.menu import MenuEntry, menu_register
from dockerapp.views import stacks

_ONE = "stacks/<uuid:stack_id>"
_OUTSIDE = "stacks/outside/<uuid:node_id>/<str:name>"
urlpatterns: list[URLPattern] = [
    path("stacks", stacks.stack_list, name="docker_stacks"),
    path("stacks/new", stacks.stack_new, name="docker_stack_new"),
    path("stacks/check", stacks.stack_check, name="docker_stack_check"),
    path("stacks/of/<uuid:operation_id>", stacks.stack_of, name="docker_stack_of"),
    path(_OUTSIDE, stacks.stack_page, name="docker_stack_outside"),
    path(f"{_OUTSIDE}/do/<str:action>", stacks.stack_action, name="docker_stack_outside_action"),
    path(f"{_OUTSIDE}/<str:tab>", stacks.stack_page, name="docker_stack_outside_tab"),
    path(_ONE, stacks.stack_page, name="docker_stack"),
    path(f"{_ONE}/diff", stacks.stack_diff, name="docker_stack_diff"),
    path(f"{_ONE}/do/<str:action>", stacks.stack_action, name="docker_stack_action"),
    path(f"{_ONE}/<str:tab>", stacks.stack_page, name="docker_stack_tab"),
]
menu_register(
    MenuEntry("Docker", "Stacks", "docker_stacks", "stack.read", 30, "docker_stack", backend="docker"),
    MenuEntry("", "New stack", "docker_stack_new", "stack.create", 20, backend="docker"),
)
