"""When a schedule is due, across the days that have 23 and 25 hours."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from django.utils.translation import override

from compute.errors import InvalidInput
from compute.services.cron import cron_check, cron_following, cron_latest, cron_next, zone_check
from compute.services.cron_words import cron_words

BERLIN = "Europe/Berlin"


def _local(text: str, after: str, count: int) -> list[str]:
    start = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(BERLIN))
    found = cron_following(text, BERLIN, start, count)
    assert all(at.tzinfo is timezone.utc for at in found)
    return [at.astimezone(ZoneInfo(BERLIN)).isoformat() for at in found]


def test_a_time_in_the_skipped_hour_runs_once_right_after_it() -> None:
    assert _local("30 2 * * *", "2026-03-28T12:00", 2) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_a_time_in_the_doubled_hour_runs_once() -> None:
    assert _local("30 2 * * *", "2026-10-24T12:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_every_half_hour_is_every_half_hour_on_that_day_too() -> None:
    start = datetime(2026, 10, 24, 23, 50, tzinfo=timezone.utc)
    found = cron_following("*/30 * * * *", BERLIN, start, 8)
    assert {later - earlier for earlier, later in zip(found, found[1:], strict=False)} == {
        timedelta(minutes=30)
    }


def test_the_latest_of_many_missed_times_is_found_without_walking_through_them() -> None:
    first = datetime(2020, 1, 1, 2, 30, tzinfo=timezone.utc)
    now = datetime(2026, 11, 29, 14, 3, tzinfo=timezone.utc)
    assert cron_latest("30 2 * * *", "UTC", first, now) == datetime(2026, 11, 29, 2, 30, tzinfo=timezone.utc)
    assert cron_latest("3 14 * * *", "UTC", first, now) == now, "the very minute counts"
    later = datetime(2026, 11, 29, 14, 2, tzinfo=timezone.utc)
    assert cron_latest("30 2 * * *", "UTC", later, now) == later


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * *",
        "61 * * * *",
        "0 0 31 2 *",
        "@daily",
        "a b c d e",
        "*/0 * * * *",
        "0 " * 60,
    ],
)
def test_what_is_no_expression_or_never_comes_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="cron"):
        cron_check(text)


def test_words_and_zones() -> None:
    assert cron_check("  30 2   * * 1-5 ") == "30 2 * * 1-5"
    assert cron_words("30 2 * * 1-5") == "At 02:30 on Monday through Friday"
    assert cron_next("0 0 29 2 *", "UTC", datetime(2026, 1, 1, tzinfo=timezone.utc)) == datetime(
        2028, 2, 29, tzinfo=timezone.utc
    )
    for name in ("Mars/Base", "localtime", "../etc/passwd", "", "x" * 500):
        with pytest.raises(InvalidInput, match="timezone"):
            zone_check(name)


@pytest.mark.parametrize(
    ("cron", "english", "german"),
    [
        ("30 2 * * 1-5", "At 02:30 on Monday through Friday", "Um 02:30 Uhr, Montag bis Freitag"),
        ("0 */12 * * *", "At 00:00 and 12:00 every day", "Um 00:00 und 12:00 Uhr, jeden Tag"),
        ("*/5 * * * *", "Every 5 minutes", "Alle 5 Minuten"),
        ("0 * * * *", "At the start of every hour", "Zu jeder vollen Stunde"),
        (
            "*/15 9-17 * * mon",
            "Every 15 minutes in the hours 09 through 17 on Monday",
            "Alle 15 Minuten in den Stunden 09 bis 17, Montag",
        ),
        ("5 0 1,15 * *", "At 00:05 on day 1 and 15 of the month", "Um 00:05 Uhr, an Tag 1 und 15 des Monats"),
        ("0 3 L 1 *", "At 03:00 on the last day of the month in January", None),
        ("0 0 13 * 5", "At 00:00 on day 13 of the month and on Friday", None),
        ("0 0 */15 * 5", "At 00:00 on day 1, 16 and 31 of the month if it is on Friday", None),
        ("0 4 * * 2#1", "At 04:00 on the first Tuesday of the month", None),
        ("* 9 * * 0", "Every minute in the hour 09 on Sunday", "Jede Minute in der Stunde 09, Sonntag"),
        ("* 0 * * *", "Every minute in the hour 00", "Jede Minute in der Stunde 00"),
    ],
)
def test_words_of_many_kinds(cron: str, english: str, german: str | None) -> None:
    assert cron_words(cron_check(cron)) == english
    with override("de"):
        assert cron_words(cron) == (german or cron_words(cron)) != english
