"""The pages of what only KVM has."""

from __future__ import annotations

from compute.menu import MenuEntry, menu_register
from compute.parts import Routes, routes_of

urlpatterns: Routes = routes_of("kvm.views")
menu_register(
    MenuEntry("KVM", "Machines", "instances", "instance.read", 10, (), "backend=kvm", "kvm"),
    MenuEntry(
        "", "New virtual machine", "instance_new", "instance.create", 10, query="backend=kvm", backend="kvm"
    ),
)
