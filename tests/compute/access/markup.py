"""Markup in whatever others wrote that pages show: guests, engines, people of other roles."""

from __future__ import annotations

from typing import Any

from django.db import models

from compute.models import (
    Alert,
    AlertRule,
    AuditEvent,
    Backup,
    BackupTarget,
    Event,
    Instance,
    Node,
    Operation,
    OperationLog,
    Project,
    Resource,
    Schedule,
    Template,
    User,
)
from compute.sealing import seal
from dockerapp.models import Registry, Stack
from kvm.models import Export

# Ends an attribute of either kind, then opens an element of its own.
CANARY = "zq'\"><img src=x onerror=alert(1)>"
_TEXTS: dict[type[models.Model], str] = {
    Alert: "subject_name message acknowledged_by",
    AlertRule: "name",
    AuditEvent: "username target result remote_address user_agent",
    Backup: "instance_name image description username problem",
    BackupTarget: "error",
    Event: "instance_name username message",
    Export: "instance_name file_name",
    Instance: "name status health image",
    Node: "error version api_version hostname",
    Operation: "step error_code error_message instance_name target worker",
    OperationLog: "line",
    Project: "description",
    Registry: "name host username",
    Resource: "name",
    Schedule: "name keep_problem paused_reason",
    Template: "name description",
    User: "first_name last_name email",
}
_MARKS = {CANARY: CANARY, "org.opencontainers.image.url": "javascript:alert(1)", "url": "javascript:alert(1)"}


def markup_plant() -> None:
    """In every row there is."""
    for model, names in _TEXTS.items():
        fields = {name: model._meta.get_field(name) for name in names.split()}
        words = {
            name: CANARY if field.max_length is None else CANARY[: field.max_length]
            for name, field in fields.items()
        }
        manager = model._default_manager
        unique = [name for name in words if fields[name].unique or name == "name"]
        shared = {name: word for name, word in words.items() if name not in unique}
        if shared:
            manager.update(**shared)
        for number, row in enumerate(manager.all()):
            # Names are unique where they are.
            manager.filter(pk=row.pk).update(**{name: f"{words[name]}{number}" for name in unique})
    for resource in Resource.objects.all():
        data = {**_spoilt(resource.data), "labels": _MARKS, "options": _MARKS}
        Resource.objects.filter(pk=resource.pk).update(data=data)
    Instance.objects.update(
        labels=_MARKS,
        engine_labels=_MARKS,
        annotations=_MARKS,
        config={"image": CANARY, "command": [CANARY], "entrypoint": [CANARY], "working_dir": CANARY},
        networks=[{"network": CANARY, "mac_address": CANARY, "ip_address": CANARY, "ipv6_address": CANARY}],
        storage=[{"name": CANARY, "source": CANARY, "target": CANARY, "format": CANARY}],
    )
    Node.objects.update(labels=_MARKS)
    Stack.objects.update(compose_sealed=seal(f"services: {{a: {{image: demo}}}} # {CANARY}"))


def _spoilt(value: Any) -> Any:
    """Each of its texts with markup behind it."""
    if isinstance(value, dict):
        return {key: _spoilt(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spoilt(item) for item in value]
    return value + CANARY if isinstance(value, str) else value
