"""Events are written down in English and said in the reader's language."""

from __future__ import annotations

import pytest
from django.utils.translation import override

from compute.wording import event_text, step_text

TOLD = [
    ("web is being made.", "web wird erstellt."),
    ("web is running.", "web: läuft."),
    ("web appeared on node-1.", "web ist auf node-1 erschienen."),
    ("web is back on node-1.", "web ist wieder auf node-1."),
    ("Create web: succeeded.", "Erstellen web: erledigt."),
    ("Delete snapshot of web: failed.", "Snapshot löschen von web: fehlgeschlagen."),
    ("Something else.", "Something else."),
]


@pytest.mark.parametrize(("message", "german"), TOLD)
def test_what_an_event_says(message: str, german: str) -> None:
    assert event_text(message) == message
    with override("de"):
        assert event_text(message) == german


def test_what_a_worker_says_of_its_step() -> None:
    with override("de"):
        assert step_text("Starting the container") == "Der Container wird gestartet"
        assert step_text("Pulling nginx:1.27") == "Pulling nginx:1.27" and step_text("") == ""
