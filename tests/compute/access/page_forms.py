"""What is typed into the form of each page: enough for its service to be asked."""

from __future__ import annotations

from typing import Any

from tests.compute.access.permission_pages import Page

_NETWORK = {"name": "wanted", "mode": "nat", "address": "10.77.0.0/24"}
_RULE = {"kind": "instance_down", "severity": "warning", "for_s": "0", "enabled": "on", "node": ""}
_CHANNEL = {"name": "wanted", "kind": "email", "recipients": "a@example.com", "enabled": "on"}
_TIMES = {"cron": "0 3 * * *", "timezone": "UTC", "action": "stop", "missed": "skip", "overlap": "skip"}
_SCHEDULE = {**_TIMES, "name": "wanted", "within_minutes": "60", "node": ""}
_TARGET = {"name": "wanted", "kind": "local", "folder": "", "is_enabled": "on"}
_TEMPLATE = {"name": "wanted", "backend": "fake", "body": ' {"config": {}}', "parameters": "[]"}
_NODE = {"name": "wanted", "backend": "fake", "kind": "socket", "socket": "/nonexistent", "do": "force"}
_SNAPSHOT = {"name": "s"}
_VOLUME = {"name": "wanted", "size": "1", "format": "qcow2", "pool": "pool-1"}
_POOL = {"name": "wanted", "type": "dir", "path": "/nonexistent", "node": "n-kvm", "project": "{project}"}
_REGISTRY = {"name": "wanted", "url": "https://registry.example.com", "username": "u", "password": "p"}
# By page, with the ids of the side in braces.
_FORMS: dict[str, dict[str, str]] = {
    "instance_new": {"name": "wanted", "backend": "fake", "image": "demo"},
    "instance_rename": {"name": "wanted"},
    "instance_limits": {"memory": "256", "cpu": "1"},
    "instance_migrate": {"node": "n-fake"},
    "instance_migrate_check": {"node": "n-fake"},
    "backup_new": {"target": "bt-1"},
    "node_new": _NODE,
    "node_edit": _NODE,
    "limits_node": {"labels": "a=b"},
    "alert_rule_new": {**_RULE, "name": "wanted"},
    "alert_rule": {**_RULE, "name": "wanted"},
    "alert_rule_silence": {"for_s": "600"},
    "alert_channel_new": _CHANNEL,
    "alert_channel": _CHANNEL,
    "adopt": {"project": "{project}", "what": "all"},
    "adopt_rule_look": {"project": "{project}"},
    "adopt_rule_new": {"name": "wanted", "project": "{project}"},
    "adopt_rule": {"name": "wanted", "project": "{project}"},
    "backup_target_new": _TARGET,
    "backup_target": _TARGET,
    "backup_restore": {"name": "wanted"},
    "limits_site": {"max_instances": "5"},
    "limits_project": {"max_instances": "5"},
    "limits_user": {"max_instances": "5"},
    "projects": {"name": "wanted"},
    "project_change:edit": {"name": "wanted"},
    "project_change:member": {"user": "target", "role": "viewer"},
    "project_change:leave": {"user": "viewer"},
    "users": {"username": "wanted", "password": "correct horse battery", "role": "viewer"},
    "user_change:edit": {"email": "a@example.com"},
    "user_change:password": {"password": "quite another sentence"},
    "schedule_new": _SCHEDULE,
    "schedule_edit": {**_SCHEDULE, "project": "{project}"},
    "template_new": _TEMPLATE,
    "template_edit": _TEMPLATE,
    "template_use": {"name": "wanted"},
    "docker_image_pull": {"image": "demo:2", "node": "n-docker"},
    "docker_image_build": {"tag": "{project}/wanted:1", "text": "FROM demo:1", "node": "n-docker"},
    "docker_image_prune": {"node": "n-docker"},
    "docker_image_push": {"image": "{project}/demo:1"},
    "docker_image_tag": {"name": "{project}/wanted"},
    "docker_registry_new": _REGISTRY,
    "docker_registry": _REGISTRY,
    "docker_stack_new": {"name": "wanted", "compose": "services: {a: {image: demo}}"},
    "docker_stack_check": {"name": "wanted", "compose": "services: {a: {image: demo}}"},
    "docker_stack_diff": {"compose": "services: {a: {image: demo}}"},
    "docker_stack_action:scale": {"service": "a", "replicas": "2"},
    "docker_stack_action:change": {"compose": "services: {a: {image: demo}}"},
    "docker_network_new": {"name": "wanted", "driver": "bridge", "node": "n-docker"},
    "docker_network_prune": {"node": "n-docker"},
    "docker_network_join": {"container": "{docker}"},
    "docker_network_leave": {"container": "{docker}"},
    "container_join": {"network": "{network}"},
    "container_leave": {"network": "{network}"},
    "container_commit": {"reference": "{project}/wanted:1"},
    "container_edit": {"name": "wanted", "image": "demo:3", "restart_policy": "no", "step": "apply"},
    "docker_volume_new": {"name": "wanted", "driver": "local", "node": "n-docker"},
    "docker_volume_prune": {"node": "n-docker"},
    "docker_node_prune": {"images": "on"},
    "machine_snapshot_new": _SNAPSHOT,
    "machine_snapshot_restore": _SNAPSHOT,
    "machine_snapshot_delete": _SNAPSHOT,
    "machine_clone": {"name": "wanted"},
    "machine_export": {"format": "qcow2"},
    "machine_cloud_init": {"user_data": "#cloud-config\n"},
    "machine_dialog:disk-new": {"size": "1"},
    "machine_dialog:nic-new": {"network": "{host_network}"},
    "machine_dialog:about": {"description": "wanted"},
    "machine_xml_change": {"xml": "<domain/>"},
    "kvm_network_new": {**_NETWORK, "node": "n-kvm"},
    "kvm_network_edit": _NETWORK,
    "kvm_network_host": {"mac": "52:54:00:00:00:01", "ip": "10.77.0.9", "name": "x"},
    "kvm_network_host_remove": {"mac": "52:54:00:00:00:01"},
    "kvm_pool_new": _POOL,
    "kvm_volume_new": {**_VOLUME, "node": "n-kvm"},
    "kvm_volume_resize": {"size": "2"},
    "kvm_volume_clone": {**_VOLUME, "node": "n-kvm"},
    "kvm_image_new": {"name": "wanted", "url": "https://example.com/x.qcow2", "node": "n-kvm"},
    "profile_token_new": {"name": "wanted", "scopes": "read"},
}


def form_of(page: Page, ids: dict[str, Any], project: str) -> dict[str, str]:
    form = _FORMS.get(f"{page.name}:{page.word}" if page.word else page.name, {})
    found = {key: value.format(**ids) if value.startswith("{") else value for key, value in form.items()}
    return {**found, "project": project} if page.kind == "new" else found
