"""The same request twice is one operation: the client's key, bound to what it asked for."""

from __future__ import annotations

from dataclasses import dataclass

from compute.actor import Actor
from compute.errors import InvalidInput
from compute.models import IdempotencyKey, Operation


@dataclass(frozen=True)
class Idempotency:
    """``fingerprint``: SHA-256 of method, path and body."""

    key: str
    fingerprint: str


def idempotency_lookup(actor: Actor, wanted: Idempotency | None) -> Operation | None:
    """The operation of an earlier request with this key. Raises ``InvalidInput`` when the key was
    used for something else."""
    if wanted is None:
        return None
    row = (
        IdempotencyKey.objects.filter(user_id=actor.user_id, key=wanted.key)
        .select_related("operation", "operation__user")
        .first()
    )
    if row is None:
        return None
    if row.fingerprint != wanted.fingerprint:
        raise InvalidInput.field("Idempotency-Key", "was used for a different request; take a new key.")
    return row.operation


def idempotency_store(actor: Actor, wanted: Idempotency | None, operation: Operation) -> None:
    """Remember it, in the transaction that creates the operation."""
    if wanted is not None:
        IdempotencyKey.objects.create(
            user_id=actor.user_id, key=wanted.key, fingerprint=wanted.fingerprint, operation=operation
        )
