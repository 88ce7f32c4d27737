"""The forms of alert rules and channels, in the words of people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django import forms

from compute.measures import amount_read, amount_written
from compute.states import ALERT_METRICS, AlertKind, ChannelKind, Severity
from compute.thing_forms import ThingForm
from compute.wording import later as _
from compute.wording import word_later

_KINDS = {
    AlertKind.INSTANCE_USAGE: _("an instance uses much, or little"),
    AlertKind.INSTANCE_DOWN: _("an instance stops without being asked to"),
    AlertKind.INSTANCE_UNHEALTHY: _("the health check of an instance fails"),
    AlertKind.OPERATION_FAILED: _("an operation fails"),
    AlertKind.NODE_USAGE: _("a host uses much, or little"),
    AlertKind.NODE_UNREACHABLE: _("a node cannot be reached"),
    AlertKind.POOL_FILLING: _("a storage pool fills up"),
    AlertKind.BACKUP_OVERDUE: _("an instance was not backed up for so many hours"),
    AlertKind.INSTANCE_UNMANAGED: _("an instance appears that was made outside LibGo"),
}
_METRICS = {
    "cpu_percent": _("CPU, in % (of one core; of hosts of all cores)"),
    "memory_percent": _("memory, in % of what it may use"),
    "memory_bytes": _("memory, such as 2 GiB"),
    "storage_percent": _("storage, in %"),
    "network_rx_bytes_per_s": _("network in, such as 10 MiB/s"),
    "network_tx_bytes_per_s": _("network out, such as 10 MiB/s"),
    "disk_read_bytes_per_s": _("disk read, such as 10 MiB/s"),
    "disk_write_bytes_per_s": _("disk written, such as 10 MiB/s"),
    "storage_used_bytes": _("what a container wrote into its own layer, such as 5 GiB"),
    "backup_age_hours": _("hours since the last backup"),
}
_WRONG_AMOUNT = _("Must be a number with a unit of the measure: 80 %, 2 GiB, 10 MiB/s, 24 h.")
_AMOUNTS = ("threshold", "clear_threshold")
WHOLE_SITE = _("the whole site")


class RuleForm(ThingForm):
    """Kind and project of a rule stay; ``row`` is one that is changed."""

    FIELD_OF: ClassVar[dict[str, str]] = {"instance": "instance", "node": "node"}
    NARROW: ClassVar[set[str]] = {
        "project", "node", "severity", "for_s", "above", "threshold", "clear_threshold", "instance", "action",
    }  # fmt: skip
    FURTHER: ClassVar[tuple[str, ...]] = ("clear_threshold", "instance", "node", "action")

    name = forms.CharField(max_length=63)
    kind = forms.ChoiceField(label=_("Alert when"), choices=[(k.value, text) for k, text in _KINDS.items()])
    metric = forms.ChoiceField(
        label=_("Measure"), required=False, choices=[("", "–"), *_METRICS.items()],
        help_text=_("For what an instance, host or pool uses, and how old a backup may be."),
    )  # fmt: skip
    above = forms.ChoiceField(
        label=_("Is"), choices=[("yes", _("above")), ("no", _("below"))], required=False
    )
    threshold = forms.CharField(
        max_length=40, required=False, help_text=_("With its unit: 80 %, 2 GiB, 10 MiB/s, 24 h.")
    )
    for_s = forms.IntegerField(label=_("For so many seconds"), min_value=0, max_value=86400, initial=60)
    severity = forms.ChoiceField(
        choices=[(word.value, word_later(word)) for word in Severity], initial=Severity.WARNING.value
    )
    channels = forms.MultipleChoiceField(
        label=_("Tell"), required=False, help_text=_("Alerts are always shown on the pages.")
    )
    enabled = forms.BooleanField(label=_("Switched on"), required=False, initial=True)
    clear_threshold = forms.CharField(
        label=_("Over again at"), max_length=40, required=False, help_text=_("So that it does not flap.")
    )
    instance = forms.CharField(max_length=255, required=False, help_text=_("Its name or id; empty: all."))
    action = forms.CharField(
        max_length=64, required=False, help_text=_("instance.start, backup; empty: all.")
    )

    def __init__(
        self,
        projects: Iterable[str],
        nodes: Iterable[str],
        channels: Iterable[str],
        data: Any = None,
        row: Mapping[str, Any] | None = None,
    ) -> None:
        names = list(nodes)
        super().__init__(projects, ["", *names], data)
        self._row = row
        self.fields["channels"].choices = [(name, name) for name in channels]  # type: ignore[attr-defined]
        node = self.fields["node"]
        assert isinstance(node, forms.ChoiceField)
        node.required, node.choices = False, [("", _("all")), *[(name, name) for name in names]]
        order = ["name", "project", "kind", "metric", "above", "threshold", "for_s", "severity", "channels"]
        self.order_fields([*order, "enabled", *self.FURTHER])
        if row is not None:
            del self.fields["kind"], self.fields["project"]
            written = {
                name: amount_written(row["metric"] or "", row[name])
                for name in _AMOUNTS
                if row[name] is not None
            }
            self.initial = {**row, "above": "yes" if row["above"] else "no", **written}

    def clean(self) -> dict[str, Any]:
        """Amounts as numbers."""
        given = super().clean() or self.cleaned_data
        for name in _AMOUNTS:
            text = given.get(name)
            try:
                given[name] = amount_read(given.get("metric", ""), text) if text else None
            except ValueError:
                self.add_error(name, _WRONG_AMOUNT)
        return given

    def body(self) -> dict[str, Any]:
        """Of the API's request."""
        given = dict(self.cleaned_data)
        body = {
            **given,
            "above": given["above"] != "no",
            **{name: given[name] or None for name in ("metric", "instance", "node", "action")},
        }
        kind = given.get("kind") or (self._row or {})["kind"]
        if AlertKind(kind) not in ALERT_METRICS:
            # What does not belong to the kind was only not emptied.
            body |= dict.fromkeys(("metric", "threshold", "clear_threshold"))
        if "project" in body:
            body["project"] = None if given["project"] == WHOLE_SITE else given["project"]
        return body


class ChannelForm(ThingForm):
    NARROW: ClassVar[set[str]] = {"project", "kind"}
    FURTHER: ClassVar[tuple[str, ...]] = ("allow_internal", "enabled")

    name = forms.CharField(max_length=63)
    kind = forms.ChoiceField(
        choices=[(ChannelKind.WEBHOOK.value, _("webhook")), (ChannelKind.EMAIL.value, _("e-mail"))]
    )
    url = forms.CharField(
        label=_("Address"), max_length=1000, required=False, help_text=_("Of the webhook: https://…")
    )
    recipients = forms.CharField(
        max_length=2000, required=False, help_text=_("Of mails, with commas between them.")
    )
    allow_internal = forms.BooleanField(
        label=_("May call addresses inside (private networks, this machine)"), required=False
    )
    enabled = forms.BooleanField(label=_("Switched on"), required=False, initial=True)

    def __init__(
        self, projects: Iterable[str], data: Any = None, row: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__([WHOLE_SITE, *projects], [], data)
        # A channel stands on no node.
        del self.fields["node"]
        self.fields["project"].label = _("For rules of")
        self.order_fields(["name", "kind", "project", "url", "recipients", *self.FURTHER])
        if row is not None:
            del self.fields["kind"]
            project = row["project"]["name"] if row["project"] else WHOLE_SITE
            self.initial = {**row, "project": project, "recipients": ", ".join(row["recipients"] or [])}
        self._kind = row["kind"] if row else None

    def body(self) -> dict[str, Any]:
        """Of the API's request; what does not belong to its kind is left out."""
        given = dict(self.cleaned_data)
        kind = given.get("kind") or self._kind
        recipients = [word.strip() for word in given.pop("recipients").split(",") if word.strip()]
        url, internal = given.pop("url").strip(), given.pop("allow_internal")
        given["project"] = None if given["project"] == WHOLE_SITE else given["project"]
        if kind == ChannelKind.EMAIL:
            return {**given, "recipients": recipients}
        return {**given, "url": url, "allow_internal": internal}
