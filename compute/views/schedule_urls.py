"""The pages of schedules."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from compute.views import schedules as v

urlpatterns = [
    path("schedules", v.schedule_list, name="schedules"),
    path("schedules/new", v.schedule_new, name="schedule_new"),
    path("schedules/look", v.schedule_look, name="schedule_look"),
    path("schedules/<uuid:schedule_id>", v.schedule_detail, name="schedule"),
    path("schedules/<uuid:schedule_id>/edit", v.schedule_edit, name="schedule_edit"),
    path("schedules/<uuid:schedule_id>/do/<str:action>", v.schedule_action, name="schedule_action"),
]
menu_register(
    MenuEntry("Activity", "Schedules", "schedules", "schedule.read", 20, "schedule"),
    MenuEntry("", "New schedule", "schedule_new", "schedule.create", 30),
)
