"""Where work on a libvirt host belongs."""

from __future__ import annotations

from functools import partial

from compute.services import resource_work
from kvm.selectors.nodes import BACKEND

where = partial(resource_work.where, backend=BACKEND)
