"""What the list of instances offers for many of them at once; see ``static/js/bulk.js``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from compute.backends.capabilities import Capability
from compute.selectors.instances import InstanceFilter
from compute.services.actions import action_get
from compute.states import InstanceState
from compute.wording import later, word_text

_DOOR = "/api/v1/compute/instances/bulk"
# In this order; without a text nothing is asked before.
_TEXTS = {
    "start": "",
    "stop": later("They are asked to shut down; what does not within half a minute is switched off."),
    "restart": later("They are shut down and started again."),
    "pause": later("They keep their memory, and do nothing until they are resumed."),
    "unpause": "",
    "snapshot": later("A snapshot of each is taken; its name is the time."),
    "delete": later(
        "They are stopped and removed, with the disks and anonymous volumes made for them. This cannot "
        "be undone."
    ),
}
_ADOPT_TEXT = later("They were made outside LibGo and become a project's; they go on running as they are.")
_OPTIONS = {"delete": {"force": True}}


def bulk_actions(projects: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The buttons of the bar; with ``projects`` also the one that adopts into one of them."""
    texts = {**_TEXTS, **({"adopt": _ADOPT_TEXT} if projects else {})}
    found = [(action_get(word), text) for word, text in texts.items()]
    return [
        {
            "word": action.word,
            "label": word_text(action.title),
            "door": _DOOR,
            "options": json.dumps(_OPTIONS.get(action.word, {})),
            "title": _("%(title)s: {n} chosen") % {"title": word_text(action.title)},
            "text": text,
            "danger": action.danger,
            "choose": json.dumps({"project": list(projects)}) if action.word == "adopt" else "",
        }
        for action, text in found
    ]


def bulk_can(row: dict[str, Any], free: bool) -> str:
    """The words of what can be done with one row of the page now."""
    words = list(row["actions"])
    live = row["state"] in (InstanceState.RUNNING, InstanceState.PAUSED, InstanceState.STOPPED)
    if free and live and row["may_update"] and str(Capability.SNAPSHOT) in row["capabilities"]:
        words.append("snapshot")
    if row["may_delete"]:
        words.append("delete")
    return " ".join(words)


def bulk_filter(wanted: InstanceFilter) -> str:
    """The list's filter as the bulk route takes it."""
    names = (
        "backend",
        "state",
        "type",
        "node",
        "project",
        "image",
        "q",
        "attention",
        "mine",
        "managed",
        "labels",
    )
    return json.dumps({name: getattr(wanted, name) for name in names if getattr(wanted, name)})
