"""Which machine is meant."""

from __future__ import annotations

import uuid

from compute.actor import Actor
from compute.errors import InstanceNotFound
from compute.models import Instance
from compute.selectors.instances import instance_get
from kvm.selectors.nodes import BACKEND


def machine_get(actor: Actor, id_or_name: str | uuid.UUID) -> Instance:
    """By id, or by a name that is unique among what the actor sees. Raises ``InstanceNotFound``, for a
    container too."""
    row = instance_get(actor, id_or_name)
    if row.backend != BACKEND:
        raise InstanceNotFound(f"There is no virtual machine “{str(id_or_name)[:100]}”.")
    return row
