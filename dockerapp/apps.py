"""Announces the Docker backend; its engine library is imported on first use."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from compute.backends.registry import backend_register


class DockerappConfig(AppConfig):
    name = "dockerapp"
    verbose_name = "Docker"

    def ready(self) -> None:
        enabled = settings.LIBGO["docker"]["enabled"]
        reason = "" if enabled else "Docker is switched off in the configuration (docker.enabled)."
        backend_register(
            "docker",
            "dockerapp.backend.DockerBackend",
            disabled_reason=reason,
            handlers="dockerapp.handlers",
            form="dockerapp.forms.ContainerForm",
            guard="dockerapp.services.guard.config_guard",
            tabs="dockerapp.views.tabs.tabs_of",
            content_guard="dockerapp.services.policy.container_content_policy",
            owner="dockerapp.selectors.stacks.stack_owner",
            secrets="dockerapp.selectors.registries.create_secrets",
            node_panel="dockerapp/_node_panel.html",
            actions="dockerapp.services.scheduled",
        )
