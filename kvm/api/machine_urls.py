"""The routes below ``/api/v1/kvm/vms/:id`` that change one machine."""

from __future__ import annotations

from django.urls import URLPattern, path

from kvm.api import machines as m

_ONE = "kvm/vms/<str:machine_id>"
urlpatterns: list[URLPattern] = [
    path(_ONE, m.Machine.as_view()),
    path(f"{_ONE}/autostart", m.MachineAutostart.as_view()),
    path(f"{_ONE}/save", m.MachineSave.as_view()),
    path(f"{_ONE}/xml", m.MachineXml.as_view()),
    path(f"{_ONE}/disks", m.MachineDisks.as_view()),
    path(f"{_ONE}/disks/<str:dev>", m.MachineDisk.as_view()),
    path(f"{_ONE}/nics", m.MachineNics.as_view()),
    path(f"{_ONE}/nics/<str:dev>", m.MachineNic.as_view()),
    path(f"{_ONE}/cdrom", m.MachineCdrom.as_view()),
    path(f"{_ONE}/cdrom/<str:dev>", m.MachineDrive.as_view()),
]
