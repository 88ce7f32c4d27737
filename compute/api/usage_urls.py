"""``/api/v1``: the past of usage."""

from __future__ import annotations

from django.urls import path

from compute.api import usage_views as u

urlpatterns = [
    path("compute/instances/<str:instance_id>/usage/history", u.InstanceUsageHistory.as_view()),
    path("compute/cluster/usage/history", u.ClusterUsageHistory.as_view()),
    path("projects/<str:project_id>/usage/history", u.ProjectUsageHistory.as_view()),
    path("nodes/<str:node_id>/usage/history", u.NodeUsageHistory.as_view()),
]
