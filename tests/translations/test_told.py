"""Events are written down in English and said in the reader's language."""

from __future__ import annotations

import re
import uuid

import pytest
from django.template.loader import render_to_string
from django.utils.translation import override

from compute.told import MEASURED, told_text
from compute.translations.told import told_messages
from compute.wording import event_text, step_text
from tests.live import ROOT

TOLD = [
    ("web is being made.", "web wird erstellt."),
    ("web is running.", "web: läuft."),
    ("web appeared on node-1.", "web ist auf node-1 erschienen."),
    ("web is back on node-1.", "web ist wieder auf node-1."),
    ("Create web: succeeded.", "Erstellen web: erledigt."),
    ("Delete snapshot of web: failed.", "Snapshot löschen von web: fehlgeschlagen."),
    ("Networks on node-1: 1 new, 2 gone.", "Netzwerke auf node-1: 1 neu, 2 entfernt."),
    ("Images on node-1: 1 changed.", "Abbilder auf node-1: 1 geändert."),
    ("web changed.", "web hat sich geändert."),
    ("web changed: labels, storage.", "web hat sich geändert: Labels, Speicherplatz."),
    ("web changed: address 10.0.0.2.", "web hat sich geändert: Adresse 10.0.0.2."),
    ("web changed: memory not set.", "web hat sich geändert: Arbeitsspeicher nicht gesetzt."),
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
        assert step_text("Pulling nginx:1.27") == "nginx:1.27 wird gezogen" and step_text("") == ""


@pytest.mark.parametrize("template", ["compute/_operation.html", "compute/_tasks.html"])
def test_what_a_worker_writes_into_its_log(template: str) -> None:
    """Steps with and without names, and the engine's own words as they are."""
    words = ("Reading it back", "Pulling nginx:1.27", "a1b2: Pull complete")
    lines = [{"timestamp": "2026-01-01T08:00:00Z", "line": word} for word in words]
    row = {
        "id": uuid.uuid4(),
        "action": "instance.create",
        "state": "succeeded",
        "instance_name": "web",
        "target": "",
    }
    with override("de"):
        page = render_to_string(template, {"row": row, "rows": [row], "chosen": row, "lines": lines})
    shown = page[page.index("<pre") : page.index("</pre>")]
    assert "Wird zurückgelesen" in shown and "nginx:1.27 wird gezogen" in shown, shown
    assert "a1b2: Pull complete" in shown and "Reading" not in shown


ERRORS = [
    ("There is no node “web”.", "Es gibt keinen Knoten „web“."),
    ("The code is wrong or was used before.", "Der Code ist falsch oder wurde schon benutzt."),
    # Words of ours are said, names that are such words are not.
    ("running is stopped; start it first.", "running ist im Zustand „angehalten“; zuerst starten."),
    # A reason within a text, and two texts behind one another.
    (
        "The node n is unreachable: Docker on n did not answer in time.",
        "Der Knoten n ist nicht erreichbar: Docker auf n antwortete nicht rechtzeitig.",
    ),
    ("The VM does not run. The container does not run.", "Die VM läuft nicht. Der Container läuft nicht."),
    ("Nobody knows this. The VM does not run.", "Nobody knows this. The VM does not run."),
    ("There are 200 rules there already, which is the most.", "Es gibt schon 200 Regeln, mehr geht nicht."),
    # A complaint beside its field, and with the field before it.
    ("must be true or false.", "muss wahr oder falsch sein."),
    ("config.tty: must be true or false.", "config.tty: muss wahr oder falsch sein."),
    ("line 3: “hosts” must be a list.", "Zeile 3: „hosts“ muss eine Liste sein."),
    ("100% of %s and %(name)s", "100% of %s and %(name)s"),
    # Alerts, with a state, a status that is a sentence of ours, a measure, and a reason.
    ("web is down: Exited with code 1.", "web ist ausgefallen: Mit Exit-Code 1 beendet."),
    ("web is down: stopped.", "web ist ausgefallen: angehalten."),
    ("web: cpu is 93.4 %, above 80 %.", "web: CPU bei 93,4 %, über 80 %."),
    ("vm: memory is 2.5 GiB, below 3 GiB.", "vm: Arbeitsspeicher bei 2,5 GiB, unter 3 GiB."),
    (
        "n cannot be reached: the connection was refused. Is the Docker daemon running?",
        "n ist nicht erreichbar: die Verbindung wurde abgelehnt. Läuft der Docker-Daemon?",
    ),
    (
        "web was not backed up for 24 hours. Its last backup is 30 hours old.",
        "web wurde seit 24 Stunden nicht gesichert. Die letzte Sicherung ist 30 Stunden alt.",
    ),
    # A finding about a stack, with what it refuses inside.
    (
        "“build” is not taken: files of the server are not read",
        "„build“ wird nicht angenommen: Dateien des Servers werden nicht gelesen",
    ),
]


@pytest.mark.parametrize(("message", "german"), ERRORS)
def test_what_an_error_says(message: str, german: str) -> None:
    assert told_text(message) == message
    with override("de"):
        assert told_text(message) == german


def test_each_text_of_the_catalogue_is_known_again_with_anything_filled_in() -> None:
    """Also where two of them are alike: what was filled in is not lost."""
    told = [message for _, message in told_messages(ROOT, ("compute", "dockerapp", "kvm"))]
    assert len(told) > 500
    with override("de"):
        for message in told:
            names = re.findall(r"%\((\w+)\)s", message)
            filled = {
                name: f"{n} GiB" if MEASURED.fullmatch(name) else f"x{n}-{name}"
                for n, name in enumerate(names)
            }
            english = message % filled if names else message.replace("%%", "%")
            german = told_text(english)
            assert german != english or len(english.split()) == 2, english
            if not any(re.fullmatch(r"(state|status|kind|verb|action|type)\d*", name) for name in names):
                assert all(text in german for text in filled.values()), (english, german)
