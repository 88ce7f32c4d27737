"""What only Docker keeps in the database: columns and constraints, no I/O and no rules."""

from dockerapp.models.registry import Registry
from dockerapp.models.stack import IS_THERE, Stack

__all__ = ["IS_THERE", "Registry", "Stack"]
