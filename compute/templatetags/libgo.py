"""Numbers and words for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from django import template
from django.utils import timezone as clock
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext

from compute.measures import NAMES, amount_text, size_text
from compute.menu import Menu, menus_of
from compute.selectors.access import projects_matter as _projects_matter
from compute.states import colour_of
from compute.views.common import actor_of
from compute.views.language import words_url as _words_url
from compute.wording import ago_text, counted_noun, event_text, lasting_text, step_text, word_text

register = template.Library()


@register.filter
def bytes_text(value: Any) -> str:
    """1536 as “1.5 KiB”, with the reader's sign for the point."""
    if value in (None, ""):
        return "–"
    return size_text(float(value))


@register.filter
def measure(metric: str) -> str:
    """``memory_bytes`` as “memory”."""
    return str(NAMES.get(metric, metric))


@register.filter
def amount(value: float | None, metric: str) -> str:
    """See :func:`compute.measures.amount_text`."""
    return "–" if value is None else amount_text(metric, value, trim=True)


@register.filter
def seconds_text(value: Any) -> str:
    """5400 as “1 hour 30 minutes”."""
    return lasting_text(int(value or 0))


@register.filter
def ago(value: Any) -> str:
    """A time, or its RFC 3339 text, as “3 minutes ago”; the page keeps counting (static/js/time.js) and
    tells the exact moment, in the reader's zone, when one points at it."""
    at = _moment(value)
    if at is None:
        return "–"
    return format_html('<time datetime="{}" data-ago>{}</time>', at.isoformat(), ago_text(clock.now() - at))


@register.filter
def exact(value: Any) -> str:
    """A time, or its RFC 3339 text, to the second: in UTC, and by static/js/time.js in the reader's zone."""
    at = _moment(value)
    if at is None:
        return "–"
    text = at.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return format_html('<time datetime="{}" data-exact>{} UTC</time>', at.isoformat(), text)


def _moment(value: Any) -> datetime | None:
    at = parse_datetime(value) if isinstance(value, str) else value
    return at if isinstance(at, datetime) else None


@register.filter
def percent_of(part: Any, whole: Any) -> int:
    return min(100, round(100 * float(part or 0) / float(whole))) if whole else 0


@register.simple_tag
def sparkline(values: Sequence[float | None], label: str, most: float = 0) -> str:
    """A small picture of numbers in order; where nothing was measured the line is broken. Its top is
    ``most``, or the largest number."""
    top = max([most, *(value for value in values if value is not None), 1e-9])
    step = 100 / max(1, len(values) - 1)
    parts: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append(f"{place * step:.1f},{23 - 22 * min(value, top) / top:.1f}")
    # One point alone is a short dash.
    lines = [part if len(part) > 1 else [part[0], part[0]] for part in parts if part]
    return format_html(
        '<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label="{}">'
        "{}</svg>",
        label,
        format_html_join("", '<polyline points="{}"/>', ((" ".join(line),) for line in lines)),
    )


@register.filter
def config_rows(config: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """A configuration for reading: each key in words, its value as lines; what says nothing is left
    out."""
    rows = [(word_text(key), _lines(value)) for key, value in sorted(config.items())]
    return [(name, lines) for name, lines in rows if any(lines)]


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        nested = [(key, _lines(item)) for key, item in value.items() if item not in (None, "", [], {})]
        return [f"{key}={' '.join(lines)}" for key, lines in nested]
    if isinstance(value, list):
        return [" ".join(_lines(item)) for item in value]
    if isinstance(value, bool):
        return [gettext("yes") if value else gettext("no")]
    return [str(value)]


@register.filter(name="colour")
def colour_filter(word: Any, kind: str) -> str:
    """``{{ row.health|colour:"health" }}``: the colour of a state, from where states are defined."""
    return colour_of(kind, str(word))


@register.filter
def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


@register.filter
def words(value: Any) -> str:
    """See :func:`compute.wording.word_text`."""
    return word_text(value)


@register.filter
def step(value: Any) -> str:
    """See :func:`compute.wording.step_text`."""
    return step_text(str(value or ""))


@register.filter
def told(value: Any) -> str:
    """See :func:`compute.wording.event_text`."""
    return event_text(str(value or ""))


@register.filter
def counted(noun: str, count: int) -> str:
    """See :func:`compute.wording.counted_noun`."""
    return counted_noun(noun, count)


@register.filter
def names(things: Iterable[Any]) -> str:
    """“web, db” of things (rows or objects) that have a name."""
    return ", ".join(str(each["name"] if isinstance(each, Mapping) else each.name) for each in things or ())


@register.simple_tag(takes_context=True)
def menus(context: template.Context) -> list[Menu]:
    """What the person who looks at this page may open."""
    request = context["request"]
    if not request.user.is_authenticated:
        return []
    match = request.resolver_match
    return menus_of(actor_of(request), (match.url_name if match else "") or "")


@register.simple_tag
def words_url(language: str) -> str:
    """Where the words of the scripts are."""
    return _words_url(language)


@register.simple_tag
def projects_matter() -> bool:
    """A site with the default project alone never says the word."""
    return _projects_matter()
