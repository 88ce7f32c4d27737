"""Announces the KVM backend; its engine library is imported on first use."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from compute.backends.registry import backend_register


class KvmConfig(AppConfig):
    name = "kvm"
    verbose_name = "KVM"

    def ready(self) -> None:
        enabled = settings.LIBGO["libvirt"]["enabled"]
        reason = "" if enabled else "KVM is switched off in the configuration (libvirt.enabled)."
        backend_register(
            "kvm",
            "kvm.backend.KvmBackend",
            disabled_reason=reason,
            handlers="kvm.handlers",
            form="kvm.forms.MachineForm",
            guard="kvm.services.guard.config_guard",
            snapshot_guard="kvm.services.snapshot_guard.snapshot_guard",
            secrets="kvm.selectors.cloud_init.create_secrets",
            marks="kvm.selectors.marks.resources_marked",
            tabs="kvm.views.tabs.tabs_of",
        )
