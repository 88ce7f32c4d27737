"""What is written to the database meanwhile."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection

_WRITE = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP)\b", re.IGNORECASE)
# Of who asks and not of what is asked for: how long the session holds, and what the audit says of downloads
# and refusals.
_ABOUT_WHO = re.compile(r'(UPDATE "django_session"|INSERT INTO "compute_auditevent") ')


@contextlib.contextmanager
def writes_noted() -> Iterator[list[str]]:
    """The statements that write, as they come; those about who asks are left out."""
    found: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if _WRITE.match(sql) and not _ABOUT_WHO.match(sql):
            found.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield found
