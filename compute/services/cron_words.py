"""A schedule's five cron fields as people say them, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cronsim.explain import Expression, Field
from cronsim.explain import Sequence as Term
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from compute.wording import later

# More times of a day than that are told as minutes and hours.
_TIMES_MAX = 4
_LAST_DAY, _LAST_WORKDAY = -1, -2
_NTH = {
    -1: later("the last %(weekday)s of the month"),
    1: later("the first %(weekday)s of the month"),
    2: later("the second %(weekday)s of the month"),
    3: later("the third %(weekday)s of the month"),
    4: later("the fourth %(weekday)s of the month"),
    5: later("the fifth %(weekday)s of the month"),
}


def cron_words(text: str) -> str:
    """“At 02:30 on Monday through Friday”. ``text`` is one that ``cron_check`` took."""
    fields = Expression(text.upper().split())
    times, days = _times(fields), _days(fields)
    time = _("at %(times)s") % {"times": _joined(times)} if times else _minutes_and_hours(fields)
    if not days and times:
        days = _("every day")
    return str(capfirst(_("%(time)s %(days)s") % {"time": time, "days": days} if days else time))


def _minutes_and_hours(fields: Expression) -> str:
    minute, hour = fields.minute, fields.hour
    if hour.star:
        return _("at the start of every hour") if minute.single_value == 0 else _minutes(minute)
    count = 1 if hour.single_value is not None else 2
    said = ngettext("%(minutes)s in the hour %(hours)s", "%(minutes)s in the hours %(hours)s", count)
    return said % {"minutes": _minutes(minute), "hours": _terms(hour, lambda value: f"{value:02}")}


def _times(fields: Expression) -> list[str]:
    """Where they are few: “02:30”, “14:30”."""
    minutes, hours = (_spread(field) for field in (fields.minute, fields.hour))
    if not all(term.is_single() for term in (*minutes, *hours)):
        return []
    found = [f"{hour.start:02}:{minute.start:02}" for hour in hours for minute in minutes]
    return sorted(found) if len(found) <= _TIMES_MAX else []


def _minutes(minute: Field) -> str:
    if minute.star:
        return _("every minute")
    step = minute.parsed[0].step if minute.parsed[0].start is None else 0
    if len(minute.parsed) == 1 and step and not 60 % step:
        return _("every %(n)s minutes") % {"n": step}
    return _("at minute %(minutes)s of the hour") % {"minutes": _terms(minute, str)}


def _days(fields: Expression) -> str:
    day, month, weekday = fields.day, fields.month, fields.dow
    parts = []
    if not day.star:
        parts.append(_days_of_month(day))
    if not weekday.star:
        parts.append(_("on %(weekdays)s") % {"weekdays": _terms(weekday, _weekday)})
    if len(parts) == 2:
        # Cron's own rule: either is enough, unless one of them begins with a star.
        both = _("%(day)s if it is %(weekday)s") if fields.day_and else _("%(day)s and %(weekday)s")
        parts = [both % {"day": parts[0], "weekday": parts[1]}]
    if not month.star:
        parts.append(_("in %(months)s") % {"months": _terms(month, lambda value: str(MONTHS[value]))})
    return " ".join(parts)


def _days_of_month(day: Field) -> str:
    if day.single_value == _LAST_DAY:
        return _("on the last day of the month")
    if day.single_value == _LAST_WORKDAY:
        return _("on the last working day of the month")
    return _("on day %(days)s of the month") % {"days": _terms(day, _day)}


def _day(value: int) -> str:
    named = {_LAST_DAY: _("“last”"), _LAST_WORKDAY: _("“last working day”")}
    return named.get(value, str(value))


def _weekday(value: int) -> str:
    # Cron begins the week with Sunday, which is 0 and 7.
    return str(WEEKDAYS[(value - 1) % 7])


def _terms(field: Field, name: Callable[[int], str]) -> str:
    return _joined([_term(term, name) for term in _spread(field)])


def _spread(field: Field) -> list[Term]:
    """Each second, third … as the values that these are."""
    found: list[Term] = []
    for term in field.parsed:
        if term.step == 1:
            found.append(term)
            continue
        first = field.min_value if term.start is None else term.start
        last = field.max_value if term.stop is None else term.stop
        found += [Term(value, value) for value in range(first, last + 1, term.step)]
    return found


def _term(term: Term, name: Callable[[int], str]) -> str:
    if term.start is None or term.stop is None:
        return _("each")
    if term.nth is not None and term.start >= 0:
        return str(_NTH[term.nth]) % {"weekday": name(term.start)}
    if term.start == term.stop:
        return name(term.start)
    return _("%(first)s through %(last)s") % {"first": name(term.start), "last": name(term.stop)}


def _joined(texts: Sequence[str]) -> str:
    """“a, b and c”."""
    if len(texts) < 2:
        return "".join(texts)
    return _("%(some)s and %(last)s") % {"some": ", ".join(texts[:-1]), "last": texts[-1]}
