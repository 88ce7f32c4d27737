"""Where work on a Docker engine belongs."""

from __future__ import annotations

from functools import partial

from compute.services import resource_work
from dockerapp.selectors.nodes import BACKEND

where = partial(resource_work.where, backend=BACKEND)
prune_where = partial(resource_work.prune_where, backend=BACKEND)
