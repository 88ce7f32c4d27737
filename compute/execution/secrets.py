"""What a create needs beside its stored configuration, looked up at the moment it runs.

A password in the parameters of an operation would lie in the database; so the worker asks the
backend's app for it, by what the configuration names.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any, cast

from compute.backends.registry import backend_registration
from compute.models import Node

Lookup = Callable[[Node, uuid.UUID | None, Mapping[str, Any]], Mapping[str, Any]]


def spec_secrets(node: Node, project_id: uuid.UUID | None, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """For ``InstanceSpec.secrets``. Raises ``ComputeError`` when what is named is gone."""
    dotted_path = backend_registration(node.backend).secrets
    if not dotted_path:
        return {}
    module, _, name = dotted_path.rpartition(".")
    return cast(Lookup, getattr(importlib.import_module(module), name))(node, project_id, config)
