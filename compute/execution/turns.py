"""Work that one process at a time does, whoever rings for it: a lease by name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models import Q
from django.db.models.functions import Now

from compute.execution.lease import lease_end
from compute.models import Turn


@contextmanager
def turn(name: str, seconds: float) -> Iterator[bool]:
    """Whether it is ours; for at most ``seconds``, so that who dies with it does not keep it."""
    holder = uuid.uuid4().hex
    Turn.objects.get_or_create(name=name)
    free = Q(until=None) | Q(until__lt=Now())
    is_ours = bool(Turn.objects.filter(free, name=name).update(holder=holder, until=lease_end(seconds)))
    try:
        yield is_ours
    finally:
        if is_ours:
            Turn.objects.filter(name=name, holder=holder).update(holder="", until=None)
