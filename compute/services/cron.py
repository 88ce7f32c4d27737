"""When a schedule is due: five cron fields in a time zone, by cronsim.

Daylight saving as in Debian's cron: what falls into a skipped hour runs once, right after it; what falls
into a doubled hour runs in the first of the two; ``*`` fields follow the real time.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from compute.errors import InvalidInput

_LENGTH_MAX = 100


def zone_check(name: str) -> ZoneInfo:
    """Raises ``InvalidInput`` for what is not in the IANA data base."""
    if name not in _zones():
        raise InvalidInput.field("timezone", f"“{name[:64]}” is no time zone; take one like Europe/Berlin.")
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def _zones() -> set[str]:
    # Whatever the host is set to is no zone that a schedule can be read by elsewhere.
    return available_timezones() - {"localtime"}


def zones_known() -> list[str]:
    """Names for people to choose from."""
    return sorted(name for name in _zones() if "/" in name and not name.startswith("Etc/")) + ["UTC"]


def cron_check(text: str) -> str:
    """The expression with single blanks. Raises ``InvalidInput`` also for one that never comes."""
    words = text.split()
    if len(words) != 5 or len(text) > _LENGTH_MAX:
        raise InvalidInput.field("cron", "must be five fields: minute, hour, day, month, weekday.")
    found = " ".join(words)
    if cron_next(found, "UTC", datetime.now(timezone.utc)) is None:
        raise InvalidInput.field("cron", "never comes.")
    return found


def cron_next(text: str, zone: str, after: datetime) -> datetime | None:
    """The first time after ``after``, in UTC; None when there is none within decades."""
    try:
        found = next(CronSim(text, after.astimezone(ZoneInfo(zone))))
    except CronSimError as error:
        raise InvalidInput.field("cron", f"cannot be read: {error}.") from error
    except StopIteration:
        return None
    return found.astimezone(timezone.utc)


def cron_following(text: str, zone: str, after: datetime, count: int) -> list[datetime]:
    """The next ``count`` times, in UTC."""
    found: list[datetime] = []
    at: datetime | None = after
    while at is not None and len(found) < count:
        at = cron_next(text, zone, at)
        if at is not None:
            found.append(at)
    return found


def cron_latest(text: str, zone: str, first: datetime, until: datetime) -> datetime:
    """The last time not after ``until``; ``first`` is one that is known. However long nobody looked, it is
    found backwards from now."""
    start = (until + timedelta(seconds=1)).astimezone(ZoneInfo(zone))
    try:
        found = next(CronSim(text, start, reverse=True)).astimezone(timezone.utc)
    except StopIteration:
        return first
    return max(first, found) if found <= until else first
