"""“Keep 7 daily, 4 weekly”: pure."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from compute.errors import InvalidInput
from compute.services.retention import Keep, keep_check, kept

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")


def _nights(count: int, last: datetime = datetime(2026, 11, 29, 2, 30, tzinfo=UTC)) -> list[datetime]:
    """One each night, oldest first."""
    return [last - timedelta(days=count - 1 - n) for n in range(count)]


def _days(times: list[datetime], keep: Keep, zone: Any = UTC) -> list[str]:
    return [f"{times[place]:%m-%d}" for place in sorted(kept(times, keep, zone))]


def test_seven_daily_and_four_weekly_of_sixty_nights() -> None:
    assert _days(_nights(60), Keep(daily=7, weekly=4)) == [
        "11-08",  # Sunday, the newest of its week
        "11-15",
        "11-22",
        "11-23",
        "11-24",
        "11-25",
        "11-26",
        "11-27",
        "11-28",
        "11-29",
    ]


def test_nothing_said_keeps_everything() -> None:
    assert kept(_nights(5), Keep(), UTC) == {0, 1, 2, 3, 4}
    assert kept([], Keep(daily=3), UTC) == set()


def test_days_without_one_are_not_counted() -> None:
    """A machine that was off for a month still has its seven."""
    times = [*_nights(10, datetime(2026, 9, 10, tzinfo=UTC)), *_nights(2)]
    assert len(kept(times, Keep(daily=7), UTC)) == 7


def test_the_newest_of_a_day_stays() -> None:
    times = [datetime(2026, 11, 29, hour, tzinfo=UTC) for hour in (3, 21, 9)]
    assert kept(times, Keep(daily=5), UTC) == {1}


def test_days_begin_where_people_live() -> None:
    times = [datetime(2026, 6, 1, 21, 30, tzinfo=UTC), datetime(2026, 6, 1, 22, 30, tzinfo=UTC)]
    assert kept(times, Keep(daily=5), UTC) == {1}
    assert kept(times, Keep(daily=5), BERLIN) == {0, 1}


def test_both_hours_of_a_doubled_one_count() -> None:
    times = [datetime(2026, 10, 25, hour, 10, tzinfo=UTC) for hour in (0, 1)]
    assert [at.astimezone(BERLIN).hour for at in times] == [2, 2]
    assert kept(times, Keep(hourly=5), BERLIN) == {0, 1}


def test_iso_weeks_do_not_break_at_new_year() -> None:
    times = [datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC)]
    assert kept(times, Keep(weekly=3), UTC) == {1}


def test_rules_add_up_and_the_newest_always_stays() -> None:
    times = _nights(400)
    for keep in (Keep(last=1), Keep(hourly=1), Keep(yearly=1), Keep(monthly=12, last=3)):
        assert len(times) - 1 in kept(times, keep, UTC)
    assert len(kept(times, Keep(monthly=12, last=3), UTC)) == 14


@pytest.mark.parametrize(
    ("given", "field"),
    [({"daily": -1}, "daily"), ({"daily": True}, "daily"), ({"dayly": 1}, "dayly"), ({"last": "3"}, "last")],
)
def test_what_is_no_rule_is_refused(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        keep_check(given)


def test_it_is_said_in_words() -> None:
    assert str(Keep(daily=7, weekly=4)) == "keep 7 daily, 4 weekly" and str(Keep()) == "keep everything"
