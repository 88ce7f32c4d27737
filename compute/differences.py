"""What an engine showed otherwise than before, in words: “web changed: health healthy, memory 256 MiB.”.

The sentence is written down in English with its event and said again in the reader's language
(:func:`what_said`), so both directions stand here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django.utils.translation import gettext

from compute.measures import amount_written
from compute.told import later, word_told

_LONGEST = 80
# Of columns whose new value is short enough to be said, and of those that are only named.
_VALUED: Final = {
    "name": later("name"),
    "health": later("health"),
    "image": later("image"),
    "CPU cores": later("CPU cores"),
    "memory": later("memory"),
    "disk size": later("disk size"),
    "address": later("address"),
}
_NAMED: Final = {
    "networks": later("networks"),
    "storage": later("storage"),
    "ports": later("ports"),
    "labels": later("labels"),
    "annotations": later("annotations"),
    "configuration": later("configuration"),
    "what waits for a restart": later("what waits for a restart"),
    "started anew": later("started anew"),
}
_COLUMNS: Final = {
    "engine_labels": "labels",
    "config": "configuration",
    "pending_changes": "what waits for a restart",
    "started_at": "started anew",
}
# What goes with something else, or says nothing to people.
_SILENT: Final = frozenset(("type", "status", "engine_id", "image_id", "finished_at"))
_NONE = "not set"
_SIZES: Final = {"memory_bytes": "memory", "storage_bytes": "disk size"}


def changed_told(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The sentence of an event; ``old`` and ``new`` hold the columns of an instance that differ. What they
    hold is public to whoever may see the instance: of a configuration only the word is said."""
    parts = (_part(column, old[column], new[column]) for column in sorted(new))
    what = dict.fromkeys(part for part in parts if part)
    return f"{name} changed: {', '.join(what)}." if what else f"{name} changed."


def fields_told(name: str, fields: Iterable[str]) -> str:
    """The same of what was set by a person: only which."""
    return f"{name} changed: {', '.join(fields)}."


def what_said(what: str) -> str:
    """“health healthy, networks” in the reader's language; what is not known here stays."""
    return ", ".join(_said(part) for part in what.split(", "))


def _part(column: str, old: Any, new: Any) -> str:
    if column in _SILENT:
        return ""
    if column == "networks":
        return _networks(old, new)
    if column == "cpu_cores":
        return f"CPU cores {_NONE if new is None else f'{new:g}'}"
    if column in _SIZES:
        return f"{_SIZES[column]} {amount_written('bytes', new) if new else _NONE}"
    if column in _VALUED:
        return f"{column} {_short(new)}"
    return _COLUMNS.get(column, column)


def _short(value: Any) -> str:
    """One word of the sentence: no comma, by which its parts are told from each other."""
    return str(value or _NONE).replace(",", " ")[:_LONGEST]


def _networks(old: Any, new: Any) -> str:
    """The addresses that came; the networks themselves where none did."""
    before = _addresses(old)
    came = [address for address in _addresses(new) if address not in before]
    return ", ".join(f"address {_short(address)}" for address in came[:3]) or "networks"


def _addresses(networks: Sequence[Mapping[str, Any]]) -> list[str]:
    return [net[key] for net in networks for key in ("ip_address", "ipv6_address") if net.get(key)]


def _said(part: str) -> str:
    if part in _NAMED:
        return str(_NAMED[part])
    for noun, text in _VALUED.items():
        if part.startswith(f"{noun} "):
            value = part.removeprefix(f"{noun} ")
            return f"{text} {_value_said(noun, value)}"
    return part


def _value_said(noun: str, value: str) -> str:
    if value == _NONE:
        return gettext("not set")
    return word_told(value) if noun == "health" else value
