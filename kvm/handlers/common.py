"""What handlers of this app share."""

from __future__ import annotations

from functools import partial
from typing import cast

from compute.execution.handlers import Work
from compute.execution.resources import resources_look
from kvm.backend import KvmBackend


def kvm(work: Work) -> KvmBackend:
    """The backend of the operation's node, with its facets."""
    return cast(KvmBackend, work.backend)


def observe(work: Work, *kinds: str) -> None:
    """List these kinds again, so that the answer and the next read agree."""
    for kind in kinds:
        resources_look(work.node, kind, partial(work.backend.resource_list, kind))
