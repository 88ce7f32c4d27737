"""The forms of pools, volumes and images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms

from compute.thing_forms import ThingForm
from compute.wording import later as _

GIB = 1024**3
_TYPES = [
    ("dir", _("Folder of the host")),
    ("fs", _("File system on a device")),
    ("netfs", _("NFS share")),
    ("logical", _("LVM volume group")),
    ("iscsi", _("iSCSI target")),
]
_FORMATS = [
    ("qcow2", _("qcow2: grows as it fills, thin copies")),
    ("raw", _("raw: fastest, takes its room at once")),
]


class PoolForm(ThingForm):
    field_order = ("name", "type", "path")
    FIELD_OF: ClassVar[dict[str, str]] = {
        "source.host": "host",
        "source.dir": "dir",
        "source.device": "device",
        "source.name": "group",
    }
    NARROW: ClassVar[set[str]] = {"name", "type", "host", "dir", "device", "group", "project", "node"}
    FURTHER: ClassVar[tuple[str, ...]] = ("host", "dir", "device", "group")

    name = forms.CharField(max_length=64)
    type = forms.ChoiceField(choices=_TYPES)
    path = forms.CharField(
        max_length=500, required=False, help_text=_("Where it is, or is mounted, on the host: /srv/vms")
    )
    autostart = forms.BooleanField(required=False, initial=True, label=_("Start it with the host"))
    host = forms.CharField(max_length=255, required=False, help_text=_("Of an NFS or iSCSI server."))
    dir = forms.CharField(max_length=500, required=False, label=_("Folder on the server"))
    device = forms.CharField(
        max_length=300, required=False, help_text=_("/dev/sdb1 for a file system, the IQN for iSCSI.")
    )
    group = forms.CharField(max_length=255, required=False, label=_("Volume group"), help_text=_("For LVM."))

    def body(self) -> dict[str, Any]:
        """The body of ``POST /storage/pools``."""
        given = self.cleaned_data
        source = {
            "host": given["host"],
            "dir": given["dir"],
            "device": given["device"],
            "name": given["group"],
        }
        return {
            "name": given["name"],
            "type": given["type"],
            "path": given["path"],
            "autostart": given["autostart"],
            "source": {key: value for key, value in source.items() if value},
        }


class VolumeForm(ThingForm):
    """In a pool that is known, so without a node."""

    field_order = ("name", "size", "format")
    FIELD_OF: ClassVar[dict[str, str]] = {"capacity_bytes": "size", "backing_store": "backing"}
    NARROW: ClassVar[set[str]] = {"size", "format"}
    FURTHER: ClassVar[tuple[str, ...]] = ("backing",)

    name = forms.CharField(max_length=128)
    size = forms.DecimalField(label=_("Size in GiB"), initial=10, min_value=0, max_digits=8, decimal_places=2)
    format = forms.ChoiceField(choices=_FORMATS)
    backing = forms.CharField(
        max_length=255,
        required=False,
        label=_("Thin copy of"),
        help_text=_("A volume of this pool, or pool/name. Only what changes takes room then."),
    )

    def body(self) -> dict[str, Any]:
        """The body of ``POST …/volumes``."""
        given = self.cleaned_data
        return {
            "name": given["name"],
            "capacity_bytes": int(given["size"] * GIB),
            "format": given["format"],
            "backing_store": given["backing"],
        }


class CloneForm(ThingForm):
    field_order = ("name", "pool", "format")
    NARROW: ClassVar[set[str]] = {"pool", "format"}

    name = forms.CharField(max_length=128)
    pool = forms.ChoiceField()
    format = forms.ChoiceField(choices=_FORMATS)

    def __init__(
        self, projects: Iterable[str], nodes: Iterable[str], pools: Iterable[str], data: Any = None
    ) -> None:
        super().__init__(projects, nodes, data)
        field = self.fields["pool"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(name, name) for name in pools]

    def body(self) -> dict[str, Any]:
        """The body of ``POST …/clone``."""
        return {key: self.cleaned_data[key] for key in ("name", "pool", "format")}


class ImageForm(ThingForm):
    """An image from what is there already, or from an address."""

    field_order = ("name", "instance", "volume", "url")
    FURTHER: ClassVar[tuple[str, ...]] = ("pool", "sha256")

    name = forms.CharField(max_length=128, help_text=_("It must end in .iso for a CD-ROM image."))
    instance = forms.CharField(
        max_length=255,
        required=False,
        label=_("From a machine"),
        help_text=_("One that is off; its first disk, flattened."),
    )
    volume = forms.CharField(
        max_length=255, required=False, label=_("or a volume"), help_text=_("As pool/name.")
    )
    url = forms.CharField(
        max_length=900,
        required=False,
        label=_("or an address"),
        help_text=_("For administrators, from servers that the site allows."),
    )
    pool = forms.CharField(max_length=128, required=False, help_text=_("Empty: the node's own."))
    sha256 = forms.CharField(max_length=64, required=False, label="SHA-256")

    def body(self) -> dict[str, Any]:
        """The body of ``POST /kvm/images``."""
        names = ("name", "instance", "volume", "url", "pool", "sha256")
        return {key: self.cleaned_data[key] for key in names if self.cleaned_data[key]}
