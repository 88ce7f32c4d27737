"""The form of a schedule, turned into the body of the API and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django import forms

from compute.backends.registry import backend_names
from compute.errors import ComputeError
from compute.services.actions import actions_known, any_action_get, node_actions_known
from compute.services.backup_actions import BACKUP
from compute.services.cron import zones_known
from compute.states import InstanceState, MissedPolicy, OverlapPolicy
from compute.thing_forms import ThingForm
from compute.wording import later as _
from compute.wording import word_later, word_text

_KEEPS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
_KEEP_LABELS = {
    "last": _("Keep last"),
    "hourly": _("Keep hourly"),
    "daily": _("Keep daily"),
    "weekly": _("Keep weekly"),
    "monthly": _("Keep monthly"),
    "yearly": _("Keep yearly"),
}
# What can be forced, and what a person reads about it.
_FORCED = ("stop", "delete")
_PIECES = ("containers", "networks", "volumes", "images", "build_cache", "unused_images")
_MISSED = {
    MissedPolicy.SKIP.value: _("Leave it out"),
    MissedPolicy.LATE.value: _("Run it once, late"),
}
_OVERLAP = {
    OverlapPolicy.SKIP.value: _("Leave it out"),
    OverlapPolicy.RUN.value: _("Run it beside the last one"),
}


_FILTER = ("q", "state", "backend", "node")


class ScheduleForm(ThingForm):
    """``instances`` are ``(id, name)``; the chosen ones, or what the filter matches at each run. ``row`` is
    the one that is changed, in its public shape: what of it has no field here stays as it is."""

    FIELD_OF: ClassVar[dict[str, str]] = {
        "target": "instances",
        "target.ids": "instances",
        "target.node": "node",
        "target.filter.node": "node",
        "options": "pieces",
        "options.target": "backup_target",
        "missed_within_s": "within_minutes",
        **{f"target.filter.{name}": name for name in ("q", "state", "backend")},
        **{f"keep.{name}": f"keep_{name}" for name in _KEEPS},
    }
    NARROW: ClassVar[set[str]] = {
        *("project", "cron", "timezone", "action", "backup_target", "q", "state", "backend", "node"),
        *("missed", "within_minutes", "overlap", *(f"keep_{name}" for name in _KEEPS)),
    }
    FURTHER: ClassVar[tuple[str, ...]] = (
        *("force", "pieces", "missed", "within_minutes", "overlap"),
        *(f"keep_{name}" for name in _KEEPS),
    )
    field_order = (
        "name",
        "project",
        "cron",
        "timezone",
        "action",
        "backup_target",
        "instances",
        "q",
        "state",
        "backend",
        "node",
    )

    name = forms.CharField(max_length=63)
    cron = forms.CharField(
        label=_("When"),
        max_length=100,
        help_text=_("Minute, hour, day of the month, month, weekday: “30 2 * * *” is every night at 02:30."),
        widget=forms.TextInput(attrs={"list": "cron-examples", "placeholder": "30 2 * * *"}),
    )
    timezone = forms.CharField(
        label=_("Time zone"), max_length=64, widget=forms.TextInput(attrs={"list": "zones"})
    )
    action = forms.ChoiceField(label=_("What"))
    backup_target = forms.ChoiceField(
        label=_("Where a backup goes"), required=False, help_text=_("Of a backup only.")
    )
    instances = forms.MultipleChoiceField(
        required=False,
        help_text=_(
            "Choose some, or choose none and say below what they have in common; what matches is asked "
            "at each run."
        ),
        widget=forms.SelectMultiple(attrs={"size": 6}),
    )
    q = forms.CharField(label=_("Name, image or address contains"), required=False, max_length=200)
    state = forms.ChoiceField(required=False)
    backend = forms.ChoiceField(required=False)
    force = forms.BooleanField(
        required=False,
        help_text=_("Stop: switch off without asking the guest. Delete: running ones too."),
    )
    pieces = forms.MultipleChoiceField(
        label=_("What a prune may remove"),
        required=False,
        choices=[(word, word_later(word)) for word in _PIECES],
        widget=forms.SelectMultiple(attrs={"size": 6}),
    )
    missed = forms.ChoiceField(label=_("When it was missed"), choices=list(_MISSED.items()))
    within_minutes = forms.IntegerField(label=_("Late by at most, in minutes"), min_value=1, max_value=43200)
    overlap = forms.ChoiceField(label=_("While its last run is under way"), choices=list(_OVERLAP.items()))

    def __init__(
        self,
        projects: Iterable[str],
        nodes: Iterable[str],
        instances: Iterable[tuple[str, str]],
        targets: Iterable[str],
        data: Any = None,
        initial: Mapping[str, Any] | None = None,
        row: Mapping[str, Any] | None = None,
    ) -> None:
        self._row = row or {}
        for name in _KEEPS:
            field = forms.IntegerField(label=_KEEP_LABELS[name], required=False, min_value=0, max_value=1000)
            self.base_fields.setdefault(f"keep_{name}", field)
        names = list(nodes)
        super().__init__(projects, ["", *names], data)
        self.initial = {**_FIRST, **(initial or {})}
        self.fields["node"].required = False
        for name, pairs in (
            ("node", [("", _("Any node")), *((word, word) for word in names)]),
            ("action", _action_choices()),
            ("instances", list(instances)),
            ("backup_target", [("", _("No target")), *((word, word) for word in targets)]),
            ("state", [("", _("Any state")), *((word.value, word_text(word)) for word in InstanceState)]),
            ("backend", [("", _("Any backend")), *((word, word) for word in backend_names())]),
        ):
            self.fields[name].choices = pairs  # type: ignore[attr-defined]
        self.fields["force"].label = _("By force")

    @property
    def zones(self) -> list[str]:
        return zones_known()

    @property
    def opened(self) -> bool:
        changed = any(self.initial.get(name) not in (None, "", [], _FIRST.get(name)) for name in self.FURTHER)
        return changed or any(self[name].errors for name in self.FURTHER)

    def body(self) -> dict[str, Any]:
        """The body of the API's request."""
        given = self.cleaned_data
        body = {name: given[name] for name in ("name", "cron", "timezone", "action", "missed", "overlap")}
        if given.get("project"):
            body["project"] = given["project"]
        body["missed_within_s"] = given["within_minutes"] * 60
        if self._row and "within_minutes" not in self.changed_data:
            body["missed_within_s"] = self._row["missed_within_s"]
        body["keep"] = {name: given[f"keep_{name}"] for name in _KEEPS if given[f"keep_{name}"]}
        body["options"], body["target"] = self._options(), self._target()
        return body

    @property
    def unseen(self) -> dict[str, Any]:
        """What the API gave it that has no field here: options of its action, and of its filter."""
        row = self._row
        if not row:
            return {}
        shown = self._options_shown(row["action"])
        options = {name: value for name, value in row["options"].items() if name not in shown}
        return {**options, **self._unseen_filter()}

    def _unseen_filter(self) -> dict[str, Any]:
        wanted = self._row.get("target", {}).get("filter", {})
        return {name: value for name, value in wanted.items() if name not in _FILTER}

    @staticmethod
    def _options_shown(action: str) -> tuple[str, ...]:
        if action in {known.word for known in node_actions_known()}:
            return _PIECES
        if action == BACKUP:
            return ("target",)
        return ("force",) if action in _FORCED else ()

    def _options(self) -> dict[str, Any]:
        given = self.cleaned_data
        shown, kept = self._options_shown(given["action"]), {}
        if given["action"] == self._row.get("action"):
            kept = {name: value for name, value in self._row["options"].items() if name not in shown}
        if shown == _PIECES:
            return kept | dict.fromkeys(given["pieces"], True)
        if given["action"] == BACKUP:
            return kept | {"target": given["backup_target"]}
        return kept | ({"force": True} if given["force"] and "force" in shown else {})

    def _target(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given["action"] in {action.word for action in node_actions_known()}:
            return {"node": given["node"]}
        if given["instances"]:
            return {"ids": given["instances"]}
        wanted = {name: given[name] for name in _FILTER if given[name]}
        return {"filter": {**self._unseen_filter(), **wanted}}

    def complain(self, error: ComputeError) -> str:
        fields = error.details.get("fields", {})
        for name in [name for name in fields if name.startswith("options.") and name not in self.FIELD_OF]:
            fields["options"] = fields.pop(name)
        return super().complain(error)


_FIRST: dict[str, Any] = {
    "timezone": "UTC",
    "missed": MissedPolicy.SKIP.value,
    "within_minutes": 60,
    "overlap": OverlapPolicy.SKIP.value,
    "action": "snapshot",
}


def schedule_initial(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the form shows of an existing one, from its public shape."""
    target, options = row["target"], row["options"]
    return {
        **{name: row[name] for name in ("name", "cron", "timezone", "action", "missed", "overlap")},
        **target.get("filter", {}),
        "node": target.get("node") or target.get("filter", {}).get("node", ""),
        "instances": target.get("ids", []),
        "within_minutes": max(1, row["missed_within_s"] // 60),
        "force": bool(options.get("force")),
        "backup_target": options.get("target", ""),
        "pieces": [name for name in _PIECES if options.get(name)],
        **{f"keep_{name}": row["keep"].get(name) for name in _KEEPS},
    }


def action_title(word: str) -> str:
    """For people; the word itself when the part that brought it was switched off."""
    try:
        return word_text(any_action_get(word).title)
    except ComputeError:
        return word_text(word)


def _action_choices() -> list[tuple[str, str]]:
    own = [(action.word, word_text(action.title)) for action in actions_known() if action.repeats]
    return own + [(action.word, word_text(action.title)) for action in node_actions_known()]
