"""Somebody whom an outside directory vouches for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """``provider`` and ``subject`` together never mean another person; name and address may change."""

    provider: str
    subject: str
    username: str
    email: str
    groups: tuple[str, ...]
