"""The form of a virtual machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from compute.forms import GIB, MIB, CreateForm, Lines
from compute.wording import later as _

_DISK_LINE = re.compile(r"([0-9.]+)\s*(?:GiB|G)?(?:\s+(\S+))?")


class DiskLines(Lines):
    """Further disks, one a line: a size in GiB, or ``volume NAME``, and perhaps the pool."""

    def to_python(self, value: Any) -> Any:
        return [_disk(line) for line in super().to_python(value)]


def _disk(line: str) -> dict[str, Any]:
    words = line.split()
    if words[0] == "volume" and len(words) in (2, 3):
        return {"volume": words[1], **({"pool": words[2]} if len(words) == 3 else {})}
    found = _DISK_LINE.fullmatch(line)
    try:
        size = int(float(found[1]) * GIB) if found else 0
    except ValueError:
        size = 0
    if not found or not 0 < size < 2**50:
        raise forms.ValidationError(
            _("“%(line)s” is no disk: write a size in GiB, or “volume NAME”.") % {"line": line[:50]}
        )
    return {"size": size, **({"pool": found[2]} if found[2] else {})}


class MachineForm(CreateForm):
    SECTIONS: ClassVar[list[tuple[str, list[str]]]] = [
        ("", ["name", "image", "cpu", "memory_mib", "disk_gib", "auto_start"]),
        (_("First start (cloud-init)"), ["hostname", "ssh_key", "user_data"]),
        (_("System and network"), ["os_variant", "network"]),
        (_("Disks"), ["disk_bus", "disk_format", "disk_cache", "disk_pool", "clone", "disks"]),
        (_("Network cards"), ["nic_model", "mac_address", "more_networks"]),
        (
            _("Hardware"),
            ["firmware", "machine", "secure_boot", "tpm", "cpu_model", "sockets", "cores", "threads"]
            + ["max_vcpus", "max_memory_mib", "graphics", "boot"],
        ),
        (_("About it"), ["description", "autostart"]),
        (_("Placement"), ["project", "node", "node_labels"]),
    ]
    NARROW: ClassVar[set[str]] = (
        {*CreateForm.NARROW, "disk_gib", "hostname", "os_variant", "firmware", "machine"}
        | {"disk_bus", "disk_format", "disk_cache", "disk_pool", "clone", "nic_model", "mac_address"}
        | {"secure_boot", "tpm", "cpu_model", "sockets", "cores", "threads", "max_vcpus", "max_memory_mib"}
        | {"graphics", "boot"}
    )
    IF_EMPTY: ClassVar[dict[str, str]] = {
        "cpu": "1",
        "memory_mib": "512",
        "disk_gib": _("as large as the image"),
    }
    FIELD_OF: ClassVar[dict[str, str]] = {
        "config.network": "network",
        "config.networks": "network",
        "config.disk.size": "disk_gib",
        "config.disk.bus": "disk_bus",
        "config.disk.format": "disk_format",
        "config.disk.pool": "disk_pool",
        "config.disk.clone": "clone",
        "config.disks": "disks",
        "config.cpu_topology": "sockets",
        "config.max_memory": "max_memory_mib",
        "config.cloud_init": "user_data",
        **{
            f"config.{name}": name
            for name in "firmware machine secure_boot tpm cpu_model max_vcpus boot description".split()
        },
    }

    image = forms.CharField(
        max_length=255,
        required=False,
        help_text=_("A template or an ISO. Empty: an empty disk of the size below."),
    )
    os_variant = forms.ChoiceField(
        required=False,
        label=_("Operating system"),
        choices=[("", _("Linux or BSD")), ("windows", _("Windows")), ("generic", _("Something else"))],
        help_text=_("Chooses hardware that it has drivers for."),
    )
    disk_gib = forms.FloatField(required=False, min_value=0.01, max_value=65536, label=_("Disk (GiB)"))
    network = forms.CharField(max_length=128, required=False)
    hostname = forms.CharField(max_length=63, required=False, label=_("Host name"))
    ssh_key = forms.CharField(max_length=8000, required=False, label=_("SSH public key"))
    user_data = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 4}), label=_("cloud-init user data")
    )
    disk_bus = forms.ChoiceField(
        required=False,
        label=_("Bus"),
        choices=[("", _("As its system likes it")), ("virtio", "VirtIO"), ("scsi", "SCSI"), ("sata", "SATA")],
    )
    disk_format = forms.ChoiceField(
        required=False, label=_("Format"), choices=[("", "qcow2 (thin)"), ("raw", "raw")]
    )
    disk_cache = forms.ChoiceField(
        required=False,
        label=_("Cache"),
        choices=[
            ("", _("As the host likes it")),
            *((word, word) for word in ("none", "writeback", "writethrough", "directsync", "unsafe")),
        ],
    )
    disk_pool = forms.CharField(
        required=False, max_length=128, label=_("Pool"), help_text=_("Empty: the node's own.")
    )
    clone = forms.ChoiceField(
        required=False,
        label=_("From a template"),
        choices=[("", _("Thin copy (quick)")), ("full", _("Full copy (stands by itself)"))],
    )
    disks = DiskLines(
        label=_("Further disks"),
        help_text=_("One a line: “20” GiB, “20 fast” in the pool fast, or “volume NAME”."),
    )
    nic_model = forms.ChoiceField(
        required=False,
        label=_("Model"),
        choices=[
            ("", _("As its system likes it")),
            *((word, word) for word in ("virtio", "e1000e", "e1000", "rtl8139", "vmxnet3")),
        ],
    )
    mac_address = forms.CharField(
        required=False, max_length=17, label=_("MAC address"), help_text=_("Empty: a new one.")
    )
    more_networks = Lines(label=_("Further networks"), help_text=_("One a line; a NIC on each."))
    firmware = forms.ChoiceField(required=False, choices=[("", "BIOS"), ("uefi", "UEFI")])
    machine = forms.ChoiceField(
        required=False,
        choices=[("", _("q35 (PCI Express)")), ("pc", _("i440fx (older)"))],
        label=_("Machine type"),
    )
    secure_boot = forms.BooleanField(required=False, label=_("Secure boot (UEFI)"))
    tpm = forms.BooleanField(required=False, label=_("TPM 2.0"))
    cpu_model = forms.CharField(
        required=False,
        max_length=64,
        label=_("CPU model"),
        help_text=_("Empty: the best that the host can give."),
    )
    sockets = forms.IntegerField(required=False, min_value=1, max_value=64)
    cores = forms.IntegerField(required=False, min_value=1, max_value=256, label=_("Cores of a socket"))
    threads = forms.IntegerField(required=False, min_value=1, max_value=8, label=_("Threads of a core"))
    max_vcpus = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1024,
        label=_("CPUs at most"),
        help_text=_("Can be added while it runs."),
    )
    max_memory_mib = forms.IntegerField(
        required=False,
        min_value=64,
        max_value=2**30,
        label=_("Memory at most (MiB)"),
        help_text=_("Can be given while it runs."),
    )
    graphics = forms.ChoiceField(
        required=False, label=_("Screen"), choices=[("", "VNC"), ("none", _("None, serial line only"))]
    )
    boot = forms.ChoiceField(
        required=False,
        label=_("Boot from"),
        choices=[
            ("", _("As the image needs it")),
            ("cdrom,hd", _("CD-ROM, then disk")),
            ("network,hd", _("Network, then disk")),
            ("hd,network", _("Disk, then network")),
        ],
    )
    description = forms.CharField(
        required=False, max_length=4096, widget=forms.Textarea(attrs={"rows": 3}), strip=False
    )
    autostart = forms.BooleanField(required=False, label=_("Start it when its host starts"))

    _PLAIN: ClassVar[tuple[str, ...]] = (
        *("os_variant", "firmware", "machine", "secure_boot", "tpm", "cpu_model", "max_vcpus", "graphics"),
        *("autostart", "disks"),
    )
    _DISK: ClassVar[dict[str, str]] = {
        "disk_bus": "bus",
        "disk_format": "format",
        "disk_cache": "cache",
        "disk_pool": "pool",
        "clone": "clone",
    }

    def config(self, given: Mapping[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = {key: given[key] for key in self._PLAIN if given.get(key)}
        disk = {name: given[key] for key, name in self._DISK.items() if key in given}
        if "disk_gib" in given:
            disk["size"] = int(given["disk_gib"] * GIB)
        if disk:
            config["disk"] = disk
        nics = _nics(given)
        if nics:
            config["networks"] = nics
        topology = {key: given[key] for key in ("sockets", "cores", "threads") if key in given}
        if topology:
            config["cpu_topology"] = topology
        if "max_memory_mib" in given:
            config["max_memory"] = given["max_memory_mib"] * MIB
        if "boot" in given:
            config["boot"] = given["boot"].split(",")
        if "description" in given:
            config["description"] = given["description"].replace("\r\n", "\n")
        seed = _seed(given)
        return {**config, "cloud_init": seed} if seed else config


def _nics(given: Mapping[str, Any]) -> list[Any]:
    first: dict[str, Any] = {}
    if "nic_model" in given:
        first["model"] = given["nic_model"]
    if "mac_address" in given:
        first["mac_address"] = given["mac_address"]
    nics: list[Any] = []
    if first or "network" in given:
        network = given.get("network", "default")
        nics.append({"network": network, **first} if first and network != "none" else network)
    return [*nics, *given.get("more_networks", [])]


def _seed(given: Mapping[str, Any]) -> dict[str, Any]:
    seed: dict[str, Any] = {key: given[key] for key in ("hostname", "user_data") if key in given}
    if "ssh_key" in given:
        seed["ssh_keys"] = [given["ssh_key"].strip()]
    return seed
