"""The lines of the list of instances: each is rendered once, and again only when something in it changes.

Templates are most of what a list costs, and of its lines hardly any differs from what was sent a moment ago.
What the instances use differs always: its places in a line are filled in last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson
from django.template.loader import render_to_string
from django.utils.dateparse import parse_datetime
from django.utils.safestring import mark_safe
from django.utils.timezone import now
from django.utils.translation import get_language

from compute.measures import size_text
from compute.wording import ago_text

# All that a line shows, and so all that its template is given.
_SHOWN = (
    *("id", "name", "type", "state", "status", "health", "stale", "colour", "active_operation", "actions"),
    *("node", "project", "stack", "image", "networks", "published", "labels_shown", "resources"),
    *("created_at", "bulk_can", "has_picture", "has_terminal", "has_log"),
)
# A page of 200 in two languages, some times over: some 2 KB each.
_KEPT = 2000
# Private characters of Unicode hold the places of what is used.
_PLACES = {"cpu_text": "\ue000", "cpu": "\ue001", "memory_text": "\ue002", "memory": "\ue003"}


def lines_fill(rows: Iterable[dict[str, Any]], show: Iterable[str]) -> None:
    """Give each row its ``line``: the ``<tr>`` with the columns that are shown."""
    shown, language = tuple(sorted(show)), get_language() or ""
    for row in rows:
        seen = {name: row.get(name) for name in _SHOWN}
        seen["created_ago"] = _ago(row["created_at"]) if "created" in shown else ""
        line = _line(orjson.dumps(seen, default=str), shown, language)
        for place, text in _used(row["usage"]):
            line = line.replace(place, text)
        row["line"] = mark_safe(line)  # nosec B308 B703 # the template escaped it, numbers fill it


@lru_cache(_KEPT)
def _line(row: bytes, shown: tuple[str, ...], language: str) -> str:
    """``language`` is the active one."""
    context = {"row": orjson.loads(row), "show": dict.fromkeys(shown, True), "usage": _PLACES}
    text = render_to_string("compute/_instance_row.html", context)
    return "".join(line.strip() for line in text.splitlines())


def _ago(at: str | None) -> str:
    moment = parse_datetime(at) if at else None
    return ago_text(now() - moment) if moment else ""


def _used(usage: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Each place, and what stands there."""
    used = usage or {}
    cpu, memory = used.get("cpu_percent"), used.get("memory_bytes")
    texts = {
        "cpu_text": "–" if cpu is None else f"{cpu:.0f} %",
        "cpu": f"{used.get('cpu') or 0:.0f}",
        "memory_text": "–" if memory is None else size_text(memory),
        "memory": f"{used.get('memory') or 0:.0f}",
    }
    return [(_PLACES[name], text) for name, text in texts.items()]
