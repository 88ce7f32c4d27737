"""The pages."""

from __future__ import annotations

from django.urls import path

from compute.views import instances, session, site

urlpatterns = [
    path("", site.dashboard, name="dashboard"),
    path("login", session.log_in, name="login"),
    path("logout", session.log_out, name="logout"),
    path("instances", instances.instance_list, name="instances"),
    path("instances/new", instances.instance_new, name="instance_new"),
    path("instances/<uuid:instance_id>", instances.instance_detail, name="instance"),
    path("instances/<uuid:instance_id>/do/<str:action>", instances.instance_action, name="instance_action"),
    path("instances/<uuid:instance_id>/delete", instances.instance_remove, name="instance_remove"),
    path("instances/<uuid:instance_id>/rename", instances.instance_rename, name="instance_rename"),
    path("instances/<uuid:instance_id>/limits", instances.instance_limits, name="instance_limits"),
    path("instances/<uuid:instance_id>/<str:tab>", instances.instance_detail, name="instance_tab"),
    path("operations", site.operation_list, name="operations"),
    path("operations/<uuid:operation_id>", site.operation_detail, name="operation"),
    path("operations/<uuid:operation_id>/cancel", site.operation_stop, name="operation_cancel"),
    path("nodes", site.node_list, name="nodes"),
    path("nodes/<uuid:node_id>/<str:action>", site.node_action, name="node_action"),
]
