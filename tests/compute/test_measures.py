"""Amounts of alert rules: what people write, what is kept, and what they read."""

from __future__ import annotations

import pytest
from django.utils.translation import override

from compute.measures import NAMES, amount_read, amount_text, amount_written
from compute.states import ALERT_METRICS

MEMORY, CPU, DISK, BACKUP = "memory_bytes", "cpu_percent", "disk_read_bytes_per_s", "backup_age_hours"


@pytest.mark.parametrize(
    ("metric", "text", "value"),
    [
        (MEMORY, "2147483648", 2 * 1024**3),
        (MEMORY, "2 GiB", 2 * 1024**3),
        (MEMORY, "2,5gib", 2.5 * 1024**3),
        (MEMORY, "512 M", 512 * 1024**2),
        (DISK, "10 MiB/s", 10 * 1024**2),
        (DISK, "10 MiB", 10 * 1024**2),
        (CPU, "80 %", 80),
        (CPU, " 80.5", 80.5),
        (BACKUP, "26 h", 26),
    ],
)
def test_an_amount_is_read_with_its_unit_or_without(metric: str, text: str, value: float) -> None:
    assert amount_read(metric, text) == value


@pytest.mark.parametrize(
    ("metric", "text"),
    [(CPU, "2 GiB"), (MEMORY, "80 %"), (MEMORY, "10 MiB/s"), (BACKUP, "3 d"), (CPU, "much"), (CPU, "-1"),
     (MEMORY, "nan"), (MEMORY, "1 2"), ("", "5 %")],
)  # fmt: skip
def test_a_unit_of_another_measure_is_refused(metric: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        amount_read(metric, text)


@pytest.mark.parametrize("value", [0.0, 1.0, 1536.0, 2.0 * 1024**3, 2147483001.0, 2.5 * 1024**4, 80.123])
@pytest.mark.parametrize("metric", [MEMORY, CPU, DISK, BACKUP, ""])
def test_what_a_form_shows_is_read_back_to_the_last_digit(metric: str, value: float) -> None:
    assert amount_read(metric, amount_written(metric, value)) == value


def test_people_read_rounded_amounts_with_units() -> None:
    assert (
        amount_text(MEMORY, 2147483648) == "2.0 GiB" and amount_text(MEMORY, 2147483648, trim=True) == "2 GiB"
    )
    assert amount_text(DISK, 10_000_000) == "9.5 MiB/s" and amount_text(MEMORY, 700) == "700 B"
    assert amount_text(CPU, 93.421) == "93.4 %" and amount_text(BACKUP, 26, trim=True) == "26 h"
    assert amount_written(MEMORY, 2147483648) == "2 GiB" and amount_written(DISK, 512) == "512 B/s"
    with override("de"):
        assert amount_text(MEMORY, 1.5 * 1024**3, trim=True) == "1,5 GiB"


def test_every_measure_has_a_name() -> None:
    assert {metric for metrics in ALERT_METRICS.values() for metric in metrics} == NAMES.keys()
