"""What stands for the placeholders of the API's routes on the ground of the sweeps."""

from __future__ import annotations

import re
import uuid

# The noun behind a placeholder, by the first words of the route.
_NOUNS = {
    "compute/instances/name": {"name": "fake_name"},
    "compute/templates": {"template_id": "template"},
    "compute/schedules": {"schedule_id": "schedule"},
    "compute/instances": {"instance_id": "fake"},
    "docker/containers": {"container_id": "docker", "container": "docker"},
    "docker/networks": {"network": "network"},
    "docker/volumes": {"name": "docker_volume", "volume": "docker_volume"},
    "docker/stacks": {"name": "stack"},
    "docker/images": {"image": "image"},
    "docker/registries": {"registry": "registry"},
    "exports": {"export_id": "export"},
    "vms": {"name": "kvm_name"},
    "kvm/vms": {"machine_id": "kvm", "instance_id": "kvm"},
    "networks": {"network": "host_network"},
    "storage/pools": {"pool": "pool", "volume": "kvm_volume"},
    "kvm/images/uploads": {"upload": "upload"},
    "kvm/images": {"image": "disk_image"},
    "projects": {"project_id": "project"},
    "operations": {"operation_id": "operation"},
    "compute/adoption-rules": {"rule_id": "adoption_rule"},
    "alerts": {"alert_id": "alert", "rule_id": "alert_rule", "channel_id": "alert_channel"},
    "backups": {"backup_id": "backup", "target_id": "backup_target"},
    "nodes": {"node_id": "node"},
}
FIXED = {
    "user_id": "viewer",
    "view_id": "1",
    "user": "viewer",
    "backend": "fake",
    "snapshot": "s",
    "dev": "vda",
}


def placeholders_of(path: str, ids: dict[str, str]) -> dict[str, str]:
    """By their names in ``path``, which is below ``/api/v1/``, as ``<str:name>`` or ``{name}``."""
    nouns = next((_NOUNS[key] for key in _NOUNS if path.startswith(f"{key}/")), {})
    names = re.findall(r"<\w+:(\w+)>|\{(\w+)\}", path)
    return {
        name: ids.get(nouns.get(name, ""), "") or ids.get(name, "") or str(uuid.uuid4())
        for name in (one or other for one, other in names)
    }
