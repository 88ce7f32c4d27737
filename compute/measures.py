"""Amounts of what alert rules measure, with their units: as people read and write them.

Programs have plain numbers: percent, bytes, bytes a second, hours.
"""

from __future__ import annotations

import re

from django.utils.formats import number_format

from compute.told import later as _

NAMES = {
    "cpu_percent": "CPU",
    "memory_percent": _("memory"),
    "memory_bytes": _("memory"),
    "storage_percent": _("storage"),
    "storage_used_bytes": _("what it wrote into its own layer"),
    "network_rx_bytes_per_s": _("network in"),
    "network_tx_bytes_per_s": _("network out"),
    "disk_read_bytes_per_s": _("disk read"),
    "disk_write_bytes_per_s": _("disk written"),
    "backup_age_hours": _("age of the last backup"),
}
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_AMOUNT = re.compile(r"(\d+(?:[.,]\d+)?) *([A-Za-z%/]*)")


def size_text(size: float, trim: bool = False) -> str:
    """1536 as “1.5 KiB”, with the reader's sign for the point. ``trim``: 2048 as “2 KiB”, not “2.0 KiB”."""
    for unit in _SIZES:
        if size < 1024 or unit == _SIZES[-1]:
            break
        size /= 1024
    return f"{number_format(size, 0) if unit == 'B' or size >= 100 else _digits(size, trim)} {unit}"


def amount_text(metric: str, value: float, trim: bool = False) -> str:
    """``memory_bytes`` 2147483648 as “2.0 GiB”, ``cpu_percent`` 93.42 as “93.4 %”."""
    if metric.endswith("bytes"):
        return size_text(value, trim)
    if metric.endswith("bytes_per_s"):
        return f"{size_text(value, trim)}/s"
    return f"{_digits(value, trim)} {_unit(metric)}".rstrip()


def amount_written(metric: str, value: float) -> str:
    """As :func:`amount_read` reads it back, to the last digit: “2 GiB”, else “2147483001 B”."""
    if "bytes" not in metric:
        return f"{value:.15g} {_unit(metric)}".rstrip()
    power = len(_SIZES) - 1
    while power and (value < 1024**power or (value * 1000) % 1024**power):
        power -= 1
    return f"{value / 1024**power:.15g} {_SIZES[power]}{'/s' if metric.endswith('per_s') else ''}"


def amount_read(metric: str, text: str) -> float:
    """“2 GiB” as 2147483648; a number alone is in the unit that programs use. Raises ``ValueError`` for a
    unit of another measure."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    number, unit = float(found[1].replace(",", ".")), found[2].lower()
    if "bytes" in metric:
        unit = unit.removesuffix("/s") if metric.endswith("per_s") else unit
        letters = [size[0].lower() for size in _SIZES]
        if unit and unit not in (form for size in _SIZES for form in (size.lower(), size[0].lower())):
            raise ValueError(text)
        return number * 1024.0 ** letters.index(unit[0] if unit else "b")
    if unit not in ("", _unit(metric)):
        raise ValueError(text)
    return number


def _unit(metric: str) -> str:
    return "%" if metric.endswith("percent") else "h" if metric.endswith("hours") else ""


def _digits(value: float, trim: bool) -> str:
    """One digit behind the point; with ``trim`` none where it would be a zero."""
    return str(number_format(value, 0 if trim and round(value, 1) == round(value) else 1))
