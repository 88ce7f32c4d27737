"""Times on pages: words for people, the exact moment for the page's script and for machines."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from compute.templatetags.libgo import ago, exact

_AT = datetime(2026, 3, 29, 14, 5, 9, tzinfo=timezone(timedelta(hours=2)))


def test_a_time_past_says_how_long_ago_and_when() -> None:
    at = datetime.now(timezone.utc) - timedelta(hours=3, minutes=20)
    shown = ago(at)
    assert "3 hours ago" in shown
    assert f'datetime="{at.isoformat()}"' in shown


@pytest.mark.parametrize("given", [_AT, _AT.isoformat()], ids=["time", "text"])
def test_an_exact_time_is_written_in_utc(given: datetime | str) -> None:
    assert ">2026-03-29 12:05:09 UTC</time>" in exact(given)


@pytest.mark.parametrize("given", [None, "", "yesterday", "<script>", 7])
def test_what_is_no_time_is_a_dash(given: object) -> None:
    assert ago(given) == exact(given) == "–"
