"""Pages of what happened: the audit, and facts as they come."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from compute.audit_chain import audit_verify
from compute.selectors.access import action_allowed, action_require
from compute.selectors.audit import AuditFilter, audit_page
from compute.selectors.events import events_page
from compute.states import Outcome, colour_of
from compute.views.common import actor_of, number, page
from compute.wording import audit_action_text, audit_field_text, is_word_field, word_text

_FILTERS = ("q", "user", "action", "target", "result", "project")
_EVENT_KINDS = ("instance", "operation", "node", "alert", "backup")
# What the page tells beside the row itself; the rest of the details is shown as it is.
_OWN = ("before", "after")


@require_GET
@page
def audit_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    asked: dict[str, Any] = {name: request.GET.get(name, "").replace("\x00", "")[:200] for name in _FILTERS}
    wanted = AuditFilter(**asked, page=max(1, number(request.GET.get("page"), 1)), page_size=50)
    found = audit_page(actor, wanted)
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "found": found,
        "rows": [_shown(row) for row in found.items],
        "wanted": wanted,
        "outcomes": [word.value for word in Outcome],
        "full_query": query.urlencode(),
        "may_verify": action_allowed(actor, "audit.verify"),
    }
    is_fragment = bool(request.headers.get("HX-Request"))
    return render(request, "compute/_audit_table.html" if is_fragment else "compute/audit_list.html", context)


@require_GET
@page
def audit_state(request: HttpRequest) -> HttpResponse:
    """Reads the whole chain, so it is asked for by a button."""
    action_require(actor_of(request), "audit.verify")
    return render(request, "compute/_audit_state.html", {"verdict": audit_verify()})


@require_GET
@page
def event_list(request: HttpRequest) -> HttpResponse:
    kind = request.GET.get("type", "")
    kind = kind if kind in _EVENT_KINDS else ""
    told = request.GET.get("before", "")
    before = int(told) if told.isascii() and told.isdigit() and len(told) < 18 else None
    events = events_page(actor_of(request), type=kind, limit=100, newest_first=True, before=before)
    context = {
        "events": events,
        "kind": kind,
        "kinds": _EVENT_KINDS,
        "full_query": request.GET.urlencode(),
        "oldest": events[-1]["seq"] if len(events) == 100 else None,
    }
    is_fragment = bool(request.headers.get("HX-Request"))
    return render(request, "compute/_event_table.html" if is_fragment else "compute/event_list.html", context)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """With its colour, its changes field by field, and the rest of the details, in the reader's words;
    ``is_data`` of a value that stands as it was given."""
    before, after = (row["details"].get(word) for word in _OWN)
    more = {key: value for key, value in row["details"].items() if key not in _OWN}
    changes: list[dict[str, Any]] = []
    if before and after and isinstance(before, dict) and isinstance(after, dict):
        changes = [_change(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
    elif isinstance(before or after, dict):
        # Of what was made or removed: all of it, folded away with the rest.
        more = {**{name: value for name, value in (before or after).items() if _text(value)}, **more}
    elif before is not None or after is not None:
        changes = [_change("", before, after)]
    return {
        **row,
        "colour": colour_of("outcome", row["result"]),
        "action_text": audit_action_text(row["action"]),
        # Codes of errors stay as programs read them.
        "code_text": row["code"] if row["code"].isupper() else word_text(row["code"]),
        "changes": changes,
        "more": [{"key": key, "name": audit_field_text(key), "value": _said(key, more[key])} for key in more],
    }


def _change(name: str, before: Any, after: Any) -> dict[str, Any]:
    return {"name": audit_field_text(name), "before": _said(name, before), "after": _said(name, after)}


def _said(name: str, value: Any) -> dict[str, Any]:
    """Words of ours and yes or no in the reader's language, all else as it stands in the export; what is
    not there, or empty, is an empty text."""
    if isinstance(value, bool):
        return {"text": gettext("yes") if value else gettext("no"), "is_data": False}
    is_word = isinstance(value, str) and is_word_field(name)
    return {"text": word_text(value) if is_word else _text(value), "is_data": not is_word}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None or value in ({}, []) else json.dumps(value, ensure_ascii=False)
