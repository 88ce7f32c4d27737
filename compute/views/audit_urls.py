"""Pages of what happened."""

from __future__ import annotations

from django.urls import path

from compute.views import audit

urlpatterns = [
    path("audit", audit.audit_list, name="audit"),
    path("audit/state", audit.audit_state, name="audit_state"),
    path("events", audit.event_list, name="events"),
]
