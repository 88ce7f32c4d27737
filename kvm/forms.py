"""The form of a virtual machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from compute.forms import GIB, CreateForm


class MachineForm(CreateForm):
    SECTIONS: ClassVar[list[tuple[str, list[str]]]] = [
        ("", ["name", "image", "cpu", "memory_mib", "disk_gib", "network", "auto_start"]),
        ("First start (cloud-init)", ["hostname", "ssh_key", "user_data"]),
        ("Placement", ["node"]),
    ]
    NARROW: ClassVar[set[str]] = {*CreateForm.NARROW, "disk_gib", "hostname"}
    FIELD_OF: ClassVar[dict[str, str]] = {
        "config.network": "network",
        "config.networks": "network",
        "config.disk.size": "disk_gib",
        "config.cloud_init": "user_data",
    }

    disk_gib = forms.FloatField(required=False, min_value=0.01, max_value=65536, label="Disk (GiB)")
    network = forms.CharField(max_length=128, required=False)
    hostname = forms.CharField(max_length=63, required=False, label="Host name")
    ssh_key = forms.CharField(max_length=8000, required=False, label="SSH public key")
    user_data = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 4}), label="cloud-init user data"
    )

    def config(self, given: Mapping[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = {}
        if "network" in given:
            config["network"] = given["network"]
        if "disk_gib" in given:
            config["disk"] = {"size": int(given["disk_gib"] * GIB)}
        seed: dict[str, Any] = {key: given[key] for key in ("hostname", "user_data") if key in given}
        if "ssh_key" in given:
            seed["ssh_keys"] = [given["ssh_key"].strip()]
        if seed:
            config["cloud_init"] = seed
        return config
