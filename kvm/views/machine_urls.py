"""Pages of one machine's hardware and definition."""

from __future__ import annotations

from django.urls import URLPattern, path

from kvm.views import machines

_MACHINE = "machines/<uuid:instance_id>"
urlpatterns: list[URLPattern] = [
    path(f"{_MACHINE}/hardware", machines.machine_hardware, name="machine_hardware"),
    path(f"{_MACHINE}/change/<str:what>", machines.machine_dialog, name="machine_dialog"),
    path(f"{_MACHINE}/change/<str:what>/<str:dev>", machines.machine_dialog, name="machine_dialog"),
    path(f"{_MACHINE}/unplug/<str:what>/<str:dev>", machines.machine_unplug, name="machine_unplug"),
    path(f"{_MACHINE}/memory", machines.machine_memory, name="machine_memory"),
    path(f"{_MACHINE}/xml", machines.machine_xml, name="machine_xml"),
    path(f"{_MACHINE}/xml/change", machines.machine_xml_change, name="machine_xml_change"),
]
