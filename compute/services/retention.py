"""Which of many kept states stay: “keep 7 daily, 4 weekly”. Pure, for snapshots and backups alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta, tzinfo
from typing import Any

from django.utils.translation import gettext

from compute.errors import InvalidInput
from compute.wording import word_text

COUNT_MAX = 1000


@dataclass(frozen=True)
class Keep:
    """How many: the ``last`` ones, and the newest of so many hours, days, ISO weeks, months and years in
    which there is one. All zero keeps everything."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0

    @property
    def is_everything(self) -> bool:
        return not any(asdict(self).values())

    def __str__(self) -> str:
        """As people say it."""
        told = ", ".join(f"{count} {word_text(name)}" for name, count in asdict(self).items() if count)
        return gettext("keep %(what)s") % {"what": told} if told else gettext("keep everything")


_ZERO = timedelta()
_BUCKETS: dict[str, Callable[[datetime], tuple[int, ...]]] = {
    "hourly": lambda at: (at.year, at.month, at.day, at.hour, int((at.utcoffset() or _ZERO).total_seconds())),
    "daily": lambda at: (at.year, at.month, at.day),
    "weekly": lambda at: tuple(at.isocalendar()[:2]),
    "monthly": lambda at: (at.year, at.month),
    "yearly": lambda at: (at.year,),
}


def keep_check(given: Mapping[str, Any]) -> Keep:
    """Raises ``InvalidInput`` naming the field."""
    known = {field.name for field in fields(Keep)}
    for name, count in given.items():
        if name not in known:
            raise InvalidInput.field(f"keep.{str(name)[:50]}", f"is not one of {', '.join(sorted(known))}.")
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= COUNT_MAX:
            raise InvalidInput.field(f"keep.{name}", f"must be a whole number from 0 to {COUNT_MAX}.")
    return Keep(**given)


def kept(times: Sequence[datetime], keep: Keep, zone: tzinfo) -> set[int]:
    """The places in ``times`` (aware, in any order) of those that stay. Days begin in ``zone``."""
    if keep.is_everything:
        return set(range(len(times)))
    newest_first = sorted(range(len(times)), key=lambda place: times[place], reverse=True)
    staying = set(newest_first[: keep.last])
    for name, bucket in _BUCKETS.items():
        seen: set[tuple[int, ...]] = set()
        for place in newest_first:
            if len(seen) >= getattr(keep, name):
                break
            key = bucket(times[place].astimezone(zone))
            if key not in seen:
                seen.add(key)
                staying.add(place)
    return staying
