"""The pages of libvirt's networks."""

from __future__ import annotations

from django.urls import URLPattern, path

from compute.menu import MenuEntry, menu_register
from kvm.views import networks as n

urlpatterns: list[URLPattern] = [
    path("networks", n.network_list, name="kvm_networks"),
    path("networks/new", n.network_new, name="kvm_network_new"),
    path("networks/<uuid:network_id>", n.network_page, name="kvm_network"),
    path("networks/<uuid:network_id>/leases", n.network_lease_list, name="kvm_network_leases"),
    path("networks/<uuid:network_id>/edit", n.network_edit, name="kvm_network_edit"),
    path("networks/<uuid:network_id>/hosts/new", n.network_host_new, name="kvm_network_host"),
    path("networks/<uuid:network_id>/hosts/remove", n.network_host_remove, name="kvm_network_host_remove"),
    path("networks/<uuid:network_id>/<str:action>", n.network_act, name="kvm_network_act"),
]
menu_register(
    MenuEntry("KVM", "Networks", "kvm_networks", "network.read", 50, "kvm_network", backend="kvm"),
)
