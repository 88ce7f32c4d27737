"""What is kept of a machine's cloud-init data."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from compute.models import Node
from compute.sealing import unseal


def create_secrets(node: Node, project_id: uuid.UUID | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """For ``InstanceSpec.secrets``: the cloud-init data that was sealed when the machine was asked for."""
    sealed = (config.get("cloud_init") or {}).get("sealed", "")
    return {"cloud_init": unseal(sealed)} if sealed else {}
