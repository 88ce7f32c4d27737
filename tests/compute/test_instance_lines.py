"""Lines of the list of instances: kept while nothing in them changes, and never told to the wrong reader."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils.translation import override

from compute.views.instance_lines import _line, lines_fill

USED = {"cpu_percent": 64.4, "cpu": 32.0, "memory_bytes": 3 * 1024**3, "memory": 58.6}


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    _line.cache_clear()


def _row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "00000000-0000-4000-8000-000000000001",
        "name": "web",
        "type": "container",
        "state": "running",
        "status": "Up <b>2</b> minutes",
        "colour": "green",
        "node": {"name": "rack-1"},
        "networks": [{"network": "lan", "ip_address": "10.0.0.2"}],
        "published": [(8080, 80)],
        "resources": {"cpu": {"cores": 2.0}, "memory": {"limit": 4 * 1024**3}},
        "usage": USED,
        "actions": ["stop"],
        "bulk_can": "stop",
        "created_at": "2020-01-01T00:00:00Z",
        **changes,
    }


def _text(show: tuple[str, ...] = ("node", "cpu", "memory", "created"), **changes: Any) -> str:
    row = _row(**changes)
    lines_fill([row], show)
    return str(row["line"])


def test_a_line_is_rendered_once_and_tells_what_is_used_now() -> None:
    assert "<span>64 %</span>" in _text() and 'value="59"' in _text()
    text = _text(usage={**USED, "cpu_percent": 7.0, "cpu": 3.5})
    assert "<span>7 %</span>" in text and 'value="4"' in text and "3.0 GiB" in text
    assert _text(usage=None).count("<span>–</span>") == 2
    assert (_line.cache_info().misses, _line.cache_info().hits) == (1, 3)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"state": "stopped", "actions": ["start"]}, "stopped"),
        ({"health": "unhealthy"}, "unhealthy"),
        ({"node": {"name": "rack-2"}}, "rack-2"),
        ({"bulk_can": ""}, "Log of web"),
        ({"active_operation": {"action": "stopping", "progress": 40.0}}, "40%"),
    ],
)
def test_whatever_changes_shows(changes: dict[str, Any], word: str) -> None:
    before = _text(has_log=False)
    after = _text(has_log="bulk_can" in changes, **changes)
    assert word in after and word not in before


def test_columns_and_languages_have_lines_of_their_own() -> None:
    assert "rack-1" in _text() and "rack-1" not in _text(("cpu",))
    with override("de"):
        assert "läuft" in _text() and "vor" in _text()
    assert "running" in _text() and "years ago" in _text()


def test_what_engines_say_stays_text() -> None:
    assert "&lt;b&gt;" in _text() and "<b>" not in _text()
    assert "<script" not in _text(name="<script>", image="\ue000<img>")
