"""What handlers of this app share."""

from __future__ import annotations

from typing import cast

from compute.execution.handlers import Work
from kvm.backend import KvmBackend


def kvm(work: Work) -> KvmBackend:
    """The backend of the operation's node, with its facets."""
    return cast(KvmBackend, work.backend)
