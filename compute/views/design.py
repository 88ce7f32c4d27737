"""Every component and every state on one page, made by the templates and words that the pages use. It is
there for who works on LibGo, in its development settings only."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from compute.states import COLOURED, InstanceState
from compute.views.bulk import bulk_actions
from compute.views.common import page
from compute.views.instance_lines import lines_fill

_MIB = 1024**2
_PALETTE = "blue azure indigo purple pink red orange yellow lime green teal cyan secondary".split()


@require_GET
@page
def design(request: HttpRequest) -> HttpResponse:
    rows = [_row(number, state) for number, state in enumerate(InstanceState)]
    rows.append({**_row(7, InstanceState.RUNNING), "stale": True, "colour": "orange", "name": "out-of-reach"})
    rows.append({**_row(8, InstanceState.RUNNING), "health": "unhealthy", "name": "sick"})
    under_way = {"action": "stopping", "progress": 40.0, "id": rows[0]["id"], "step": "Asking it to stop"}
    rows.append({**_row(9, InstanceState.RUNNING), "active_operation": under_way, "name": "under-way"})
    lines_fill(rows, ("node", "address", "cpu", "memory", "created"))
    now = datetime.now(timezone.utc)
    context = {
        "kinds": [(kind, [(word.value, word.colour) for word in words]) for kind, words in _coloured()],
        "palette": _PALETTE,
        "rows": rows,
        "bulk_actions": bulk_actions(),
        "times": [now - timedelta(seconds=seconds) for seconds in (2, 90, 8000, 400_000, 40_000_000)],
        "sizes": (0, 900, 1536, 5 * _MIB, 3 * 1024 * _MIB),
        "links": [("green", "live"), ("orange", "reconnecting"), ("secondary", "connecting")],
        "terminal": range(1, 8),
        "diff": [
            ("at", "@@ web @@"),
            ("", "  restart: always"),
            ("del", "- memory: 256m"),
            ("add", "+ memory: 512m"),
        ],
        "bars": [_bar("CPU", 2, 0, 8), _bar("Memory", 4, 2, 8), _bar("Instances", 7, 3, 8)],
    }
    return render(request, "compute/design.html", context)


def _bar(word: str, used: int, asked: int, most: int) -> dict[str, Any]:
    """As ``_limit_bar.html`` is given it: used alone, with what is asked for, and with too much of it."""
    return {
        "word": word,
        "used": used,
        "asked": asked,
        "maximum": most,
        "left": most - used - asked,
        "is_asked": bool(asked),
        "is_over": used + asked > most,
        "used_percent": 100 * used // most,
        "asked_percent": min(100 * asked // most, 100 - 100 * used // most),
    }


def _coloured() -> list[tuple[str, Any]]:
    return list(COLOURED.items())


def _row(number: int, state: InstanceState) -> dict[str, Any]:
    """As ``rows_for_page`` makes it."""
    runs = state is InstanceState.RUNNING
    used = {"cpu_percent": 64.0, "cpu": 32.0, "memory_bytes": 300 * _MIB, "memory": 58.6}
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "name": f"{state}-example",
        "type": "vm" if number % 2 else "container",
        "image": "nginx:1.27",
        "state": str(state),
        "status": str(state).capitalize(),
        "colour": state.colour,
        "node": {"name": "rack-1"},
        "networks": [{"network": "lan", "ip_address": f"10.0.0.{number + 2}"}],
        "published": [(8080, 80)] if number == 1 else [],
        "resources": {"cpu": {"cores": 2.0}, "memory": {"limit": 512 * _MIB}},
        "usage": used if runs else None,
        "created_at": (datetime.now(timezone.utc) - timedelta(days=number + 1)).isoformat(),
        "actions": ["stop"] if runs else ["start"],
        "bulk_can": "start stop",
        "has_log": True,
        "has_terminal": runs,
    }
