"""Pages of what happened."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from compute.views import audit

urlpatterns = [
    path("audit", audit.audit_list, name="audit"),
    path("audit/state", audit.audit_state, name="audit_state"),
    path("events", audit.event_list, name="events"),
]
menu_register(
    MenuEntry("Activity", "Events", "events", "event.read", 40),
    MenuEntry("Manage", "Audit", "audit", "audit.read", 40),
)
