"""Where each page and fragment is, on the ground of the matrix."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from tests.compute.access.permission_pages import Page

# What the placeholders of a page stand for, by the beginning of its name; the first that fits.
_NOUNS = {
    "container_": {"instance_id": "docker"},
    "machine_": {"instance_id": "kvm"},
    "docker_network": {"network_id": "network"},
    "docker_volume": {"volume_id": "docker_volume"},
    "docker_image": {"image_id": "image", "operation_id": "operation"},
    "docker_registr": {"registry_id": "registry", "operation_id": "operation"},
    "docker_stack_outside": {"name": "stack", "node_id": "docker_node"},
    "docker_stack": {"stack_id": "stack_id", "operation_id": "operation"},
    "docker_node": {"node_id": "docker_node"},
    "kvm_network": {"network_id": "host_network"},
    "kvm_export": {"export_id": "export"},
    "kvm_image": {"image_id": "disk_image"},
    "kvm_": {"pool_id": "pool", "volume_id": "kvm_volume"},
    "adopt_": {"rule_id": "adoption_rule"},
    "alert_": {"rule_id": "alert_rule", "channel_id": "alert_channel", "alert_id": "alert"},
    "backup_new": {"instance_id": "fake"},
    "backup": {"backup_id": "backup", "target_id": "backup_target"},
    "limits_": {"project_id": "project_id", "user_id": "user", "node_id": "fake_node"},
    "": {
        "instance_id": "fake",
        "project_id": "project_id",
        "user_id": "user",
        "operation_id": "operation",
        "node_id": "fake_node",
        "schedule_id": "schedule",
        "template_id": "template",
    },
}
NAMELESS = {"health": "health", "health/liveness": "liveness", "health/readiness": "readiness"}
NAMELESS |= {"metrics": "metrics", "favicon.ico": "favicon"}
ANY = {"uuid": str(uuid.uuid4()), "str": "x", "int": "1", "path": "x.js"}


def patterns() -> Iterator[tuple[str, URLPattern]]:
    """Every route with its whole path."""

    def walk(resolver: Any, prefix: str) -> Iterator[tuple[str, URLPattern]]:
        for each in resolver.url_patterns:
            path = prefix + str(each.pattern)
            if isinstance(each, URLResolver):
                yield from walk(each, path)
            elif isinstance(each, URLPattern):
                yield path, each

    return walk(get_resolver(), "")


def declared() -> Iterator[tuple[str, str]]:
    """The name and the path of each page."""
    for path, pattern in patterns():
        if not path.startswith(("api/v1/", "admin/")):
            yield pattern.name or NAMELESS.get(path, path), path


def address(page: Page, ids: dict[str, str]) -> str:
    path = next(path for name, path in _PATHS if name == page.name and (not page.word or path.count("<str")))
    nouns = next(words for beginning, words in _NOUNS.items() if page.name.startswith(beginning))

    def value(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if name in nouns:
            return ids[nouns[name]]
        return page.word if kind == "str" and page.word else ANY[kind]

    return "/" + re.sub(r"<(\w+):(\w+)>", value, path)


_PATHS = list(declared())
