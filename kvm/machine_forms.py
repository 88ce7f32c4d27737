"""The dialogs that change one machine: few fields, in the words of people."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms

from compute.errors import ComputeError
from compute.wording import event_text
from compute.wording import later as _

_MIB, _GIB = 1024**2, 1024**3
_BUSES = [("", _("As its system likes it")), ("virtio", "VirtIO"), ("scsi", "SCSI"), ("sata", "SATA")]
_CACHES = [
    ("", _("As the host likes it")),
    ("none", _("None (safe, direct)")),
    ("writeback", _("Write back (fast)")),
    ("writethrough", _("Write through")),
    ("directsync", _("Direct and synchronous")),
    ("unsafe", _("Unsafe (lost with the host)")),
]
_MODELS = [
    ("", _("As its system likes it")),
    ("virtio", "VirtIO"),
    ("e1000e", _("Intel e1000e")),
    ("e1000", _("Intel e1000")),
    ("rtl8139", _("Realtek 8139")),
    ("vmxnet3", _("VMware vmxnet3")),
]


class DeviceForm(forms.Form):
    """``NARROW`` fields stand side by side; ``FIELD_OF``: which field a complaint about the API's is for."""

    NARROW: ClassVar[set[str]] = set()
    FIELD_OF: ClassVar[dict[str, str]] = {}

    def __init__(self, data: Any = None, **more: Any) -> None:
        super().__init__(data, **more)
        for field in self.fields.values():
            kind = "form-select" if isinstance(field.widget, forms.Select) else "form-control"
            if isinstance(field.widget, forms.CheckboxInput):
                kind = "form-check-input"
            field.widget.attrs.setdefault("class", kind)

    def given(self) -> dict[str, Any]:
        return {key: value for key, value in self.cleaned_data.items() if value not in (None, "")}

    def body(self) -> dict[str, Any]:
        """The body of the API's request."""
        return self.given()

    def complain(self, error: ComputeError) -> str:
        """Put an error beside its field; what belongs to none is returned for the top."""
        rest = []
        for name, text in error.details.get("fields", {}).items():
            last = name.rpartition(".")[2]
            field = self.FIELD_OF.get(last, last)
            if field in self.fields:
                self.add_error(field, event_text(text))
            else:
                rest.append(event_text(text))
        return " ".join(rest) if error.details.get("fields") else error.message


class DiskForm(DeviceForm):
    NARROW: ClassVar[set[str]] = {"size_gib", "pool", "bus", "format", "cache"}
    FIELD_OF: ClassVar[dict[str, str]] = {"size": "size_gib"}

    size_gib = forms.FloatField(required=False, min_value=0.001, max_value=65536, label=_("Size (GiB)"))
    pool = forms.CharField(required=False, max_length=128, help_text=_("Empty: the node's own pool."))
    source = forms.CharField(
        required=False,
        max_length=255,
        label=_("Or a volume that is there"),
        help_text=_("Its name in the pool."),
    )
    bus = forms.ChoiceField(required=False, choices=_BUSES)
    format = forms.ChoiceField(
        required=False, choices=[("", _("As the pool likes it")), ("qcow2", "qcow2"), ("raw", "raw")]
    )
    cache = forms.ChoiceField(required=False, choices=_CACHES)

    def body(self) -> dict[str, Any]:
        given = self.given()
        if "size_gib" in given:
            given["size"] = int(given.pop("size_gib") * _GIB)
        return given


class DiskChangeForm(DeviceForm):
    NARROW: ClassVar[set[str]] = {"read_mib", "write_mib", "read_iops", "write_iops"}
    FIELD_OF: ClassVar[dict[str, str]] = {"size": "size_gib"}
    _RATES: ClassVar[dict[str, tuple[str, int]]] = {
        "read_mib": ("read_bytes_sec", _MIB),
        "write_mib": ("write_bytes_sec", _MIB),
        "read_iops": ("read_iops_sec", 1),
        "write_iops": ("write_iops_sec", 1),
    }

    size_gib = forms.FloatField(
        required=False,
        min_value=0.001,
        max_value=65536,
        label=_("New size (GiB)"),
        help_text=_("Only larger; the guest grows its file system itself."),
    )
    read_mib = forms.IntegerField(
        required=False, min_value=0, max_value=10**6, label=_("Read at most (MiB/s)")
    )
    write_mib = forms.IntegerField(
        required=False, min_value=0, max_value=10**6, label=_("Write at most (MiB/s)")
    )
    read_iops = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=10**9,
        label=_("Reads a second"),
        help_text=_("0 lifts a limit."),
    )
    write_iops = forms.IntegerField(required=False, min_value=0, max_value=10**9, label=_("Writes a second"))

    def body(self) -> dict[str, Any]:
        given = self.given()
        body: dict[str, Any] = {}
        if "size_gib" in given:
            body["size"] = int(given["size_gib"] * _GIB)
        limits = {name: given[key] * by for key, (name, by) in self._RATES.items() if key in given}
        return {**body, "io_limits": limits} if limits else body


class NicForm(DeviceForm):
    NARROW: ClassVar[set[str]] = {"model", "mac_address"}

    network = forms.CharField(required=False, max_length=128, help_text=_("A libvirt network."))
    bridge = forms.CharField(
        required=False, max_length=15, label=_("Or a bridge of the host"), help_text=_("Administrators only.")
    )
    model = forms.ChoiceField(required=False, choices=_MODELS)
    mac_address = forms.CharField(required=False, max_length=17, label=_("MAC address"))


class NicChangeForm(DeviceForm):
    NARROW: ClassVar[set[str]] = {"inbound", "outbound"}

    inbound = forms.IntegerField(
        required=False, min_value=0, max_value=2**31 - 1, label=_("Receive at most (KiB/s)")
    )
    outbound = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=2**31 - 1,
        label=_("Send at most (KiB/s)"),
        help_text=_("0 lifts a limit."),
    )

    def body(self) -> dict[str, Any]:
        """Zero lifts a limit, empty leaves it."""
        given = self.given()
        return {"bandwidth": {way: {"average": rate} if rate else {} for way, rate in given.items()}}


class MediumForm(DeviceForm):
    image = forms.CharField(
        required=False, max_length=255, label="ISO", help_text=_("Empty takes the medium out.")
    )
    force = forms.BooleanField(required=False, label=_("Even when the guest has locked the tray"))


class AboutForm(DeviceForm):
    description = forms.CharField(
        required=False, max_length=4096, widget=forms.Textarea(attrs={"rows": 4}), strip=False
    )
    boot = forms.ChoiceField(
        required=False,
        label=_("Boot from"),
        choices=[
            ("", _("Leave it as it is")),
            ("hd", _("Disk")),
            ("cdrom,hd", _("CD-ROM, then disk")),
            ("network,hd", _("Network, then disk")),
            ("hd,network", _("Disk, then network")),
        ],
        help_text=_("A running machine takes it with its next start."),
    )
    autostart = forms.BooleanField(required=False, label=_("Start it when its host starts"))

    def body(self) -> dict[str, Any]:
        given = self.cleaned_data
        body = {
            "description": given["description"].replace("\r\n", "\n"),
            "autostart": bool(given["autostart"]),
        }
        return {**body, "boot": given["boot"].split(",")} if given["boot"] else body
