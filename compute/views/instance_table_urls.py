"""Routes of the list of instances."""

from __future__ import annotations

from django.urls import path

from compute.views import instance_table

urlpatterns = [
    path("instances", instance_table.instance_list, name="instances"),
    path("instances/views", instance_table.view_save, name="instance_view_save"),
    path("instances/views/<int:view_id>/remove", instance_table.view_remove, name="instance_view_remove"),
    path("instances/columns", instance_table.columns_save, name="instance_columns"),
]
