"""``/api/v1``: the audit."""

from __future__ import annotations

from django.urls import path

from compute.api import audit_views as v

urlpatterns = [
    path("audit", v.Audit.as_view()),
    path("audit/verify", v.AuditVerify.as_view()),
]
