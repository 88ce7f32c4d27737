"""The pages: those of the parts, and those that every site has."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from compute.parts import routes_of
from compute.views import dashboard, instances, migrate, nodes, palette, session, site, tasks, topology

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("palette", palette.palette, name="palette"),
    path("login", session.log_in, name="login"),
    path("login/oidc", session.oidc_log_in, name="login_oidc"),
    path("login/oidc/back", session.oidc_back, name="login_oidc_back"),
    path("logout", session.log_out, name="logout"),
    path("logged-out", session.logged_out, name="logged_out"),
    *routes_of("compute.views"),
    path("instances/new", instances.instance_new, name="instance_new"),
    path("instances/<uuid:instance_id>", instances.instance_detail, name="instance"),
    path("instances/<uuid:instance_id>/do/<str:action>", instances.instance_action, name="instance_action"),
    path("instances/<uuid:instance_id>/delete", instances.instance_remove, name="instance_remove"),
    path("instances/<uuid:instance_id>/rename", instances.instance_rename, name="instance_rename"),
    path("instances/<uuid:instance_id>/migrate", migrate.migrate, name="instance_migrate"),
    path("instances/<uuid:instance_id>/migrate/check", migrate.migrate_look, name="instance_migrate_check"),
    path("instances/<uuid:instance_id>/limits", instances.instance_limits, name="instance_limits"),
    path("instances/<uuid:instance_id>/picture.png", instances.instance_picture, name="instance_picture"),
    path("instances/<uuid:instance_id>/<str:tab>", instances.instance_detail, name="instance_tab"),
    path("networks/map", topology.network_map, name="network_map"),
    path("tasks", tasks.task_list, name="tasks"),
    path("tasks/line", tasks.task_line, name="task_line"),
    path("operations", site.operation_list, name="operations"),
    path("operations/<uuid:operation_id>", site.operation_detail, name="operation"),
    path("operations/<uuid:operation_id>/cancel", site.operation_stop, name="operation_cancel"),
    path("nodes", nodes.node_list, name="nodes"),
    path("nodes/new", nodes.node_new, name="node_new"),
    path("nodes/<uuid:node_id>", nodes.node_detail, name="node"),
    path("nodes/<uuid:node_id>/edit", nodes.node_edit, name="node_edit"),
    path("nodes/<uuid:node_id>/remove", nodes.node_remove, name="node_remove"),
    path("nodes/<uuid:node_id>/<str:action>", nodes.node_action, name="node_action"),
]
menu_register(
    MenuEntry("Activity", "Operations", "operations", "operation.read", 10, "operation"),
    MenuEntry("Manage", "Administration", "admin:index", "site.admin", 90),
    MenuEntry("", "Add a node", "node_new", "node.create", 50),
    MenuEntry("", "Network map", "network_map", "network.read", 60),
)
