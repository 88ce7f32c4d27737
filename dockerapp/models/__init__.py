"""What only Docker keeps in the database: columns and constraints, no I/O and no rules."""

from dockerapp.models.registry import Registry
from dockerapp.models.stack import Stack

__all__ = ["Registry", "Stack"]
