"""Which of two looks at an engine is the later one, by when each began."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

# What the clocks of LibGo's hosts may be apart.
_APART = timedelta(seconds=10)


def is_later(stamp: datetime | None, looked_at: datetime) -> bool:
    """Whether ``stamp``, of what is known, is later than a look that began at ``looked_at``, which then must
    not count. A stamp that has not come yet is from before the clock was put back, and says nothing."""
    return stamp is not None and looked_at < stamp <= clock_bound()


def clock_bound() -> datetime:
    """No stamp of now is later than this."""
    return timezone.now() + _APART
