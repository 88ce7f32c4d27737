"""The form that makes an instance: few fields, those that matter, in the words of people."""

from __future__ import annotations

import shlex
from typing import Any

from django import forms

from compute.errors import ComputeError
from compute.services.instance_body import InstanceCreate

_MIB, _GIB = 1024**2, 1024**3
# Which field of the form a complaint about the API's field belongs to.
_FIELD_OF = {
    "name": "name",
    "config.image": "image",
    "config.command": "command",
    "config.env": "env",
    "config.ports": "ports",
    "config.volumes": "volumes",
    "config.restart_policy": "restart",
    "config.network": "network",
    "config.networks": "network",
    "config.network_mode": "network",
    "config.disk.size": "disk_gib",
    "config.cloud_init": "user_data",
    "resources.cpu.cores": "cpu",
    "resources.memory.limit": "memory_mib",
}


class CreateForm(forms.Form):
    name = forms.CharField(max_length=63, help_text="Letters, digits, dots, dashes, underscores.")
    image = forms.CharField(max_length=255)
    node = forms.CharField(max_length=63, required=False)
    cpu = forms.FloatField(required=False, min_value=0.01, max_value=1024, label="CPU cores")
    memory_mib = forms.IntegerField(required=False, min_value=4, max_value=2**40, label="Memory (MiB)")
    network = forms.CharField(max_length=128, required=False)
    auto_start = forms.BooleanField(required=False, initial=True, label="Start it now")
    command = forms.CharField(
        max_length=4000, required=False, help_text="As in a shell; empty: the image's own."
    )
    env = forms.CharField(
        required=False, widget=forms.Textarea, label="Environment", help_text="NAME=value, one a line."
    )
    ports = forms.CharField(required=False, help_text="8080:80/tcp, separated by spaces.")
    volumes = forms.CharField(required=False, help_text="data:/var/lib/data, separated by spaces.")
    restart = forms.ChoiceField(
        required=False,
        label="Restart policy",
        choices=[(word, word) for word in ("no", "unless-stopped", "always", "on-failure")],
    )
    disk_gib = forms.FloatField(required=False, min_value=0.01, max_value=65536, label="Disk (GiB)")
    hostname = forms.CharField(max_length=63, required=False)
    ssh_key = forms.CharField(max_length=8000, required=False, label="SSH public key")
    user_data = forms.CharField(required=False, widget=forms.Textarea, label="cloud-init user data")

    def __init__(self, backend: str, data: Any = None) -> None:
        super().__init__(data)
        self.backend = backend
        others = _VM_ONLY if backend != "kvm" else _CONTAINER_ONLY
        for name in others:
            del self.fields[name]
        for name, field in self.fields.items():
            kind = "form-select" if name == "restart" else "form-control"
            if name == "auto_start":
                kind = "form-check-input"
            field.widget.attrs.update({"class": kind})
            if name in ("env", "user_data"):
                field.widget.attrs.update({"rows": 4, "class": "form-control font-monospace"})
        self.fields["image"].widget.attrs.update({"list": "images", "autocomplete": "off"})
        self.fields["network"].widget.attrs.update({"list": "networks", "autocomplete": "off"})
        self.fields["node"].widget.attrs.update({"list": "nodes", "autocomplete": "off"})

    def clean_command(self) -> list[str]:
        try:
            return shlex.split(self.cleaned_data["command"])
        except ValueError as error:
            raise forms.ValidationError(f"The quotes do not match: {error}.") from error

    def clean_env(self) -> dict[str, str]:
        lines = [line.strip() for line in self.cleaned_data["env"].splitlines() if line.strip()]
        if not all("=" in line for line in lines):
            raise forms.ValidationError("Write NAME=value, one a line.")
        return dict(line.split("=", 1) for line in lines)

    def body(self) -> InstanceCreate:
        """The request body that the same wish would have over REST."""
        given = {key: value for key, value in self.cleaned_data.items() if value not in (None, "", [], {})}
        config = _vm_config(given) if self.backend == "kvm" else _container_config(given)
        resources: dict[str, Any] = {}
        if "cpu" in given:
            resources["cpu"] = {"cores": given["cpu"]}
        if "memory_mib" in given:
            resources["memory"] = {"limit": given["memory_mib"] * _MIB}
        return InstanceCreate(
            name=given["name"],
            backend=self.backend,
            node=given.get("node"),
            config={"image": given["image"], **config},
            resources=resources,
            auto_start=bool(given.get("auto_start", False)),
        )

    def complain(self, error: ComputeError) -> str:
        """Put an error beside its field; what belongs to none is returned for the top."""
        rest = []
        for name, text in error.details.get("fields", {}).items():
            field = _FIELD_OF.get(name, _FIELD_OF.get(".".join(name.split(".")[:2]), ""))
            if field in self.fields:
                self.add_error(field, text)
            else:
                rest.append(f"{name}: {text}")
        if error.code == "NAME_CONFLICT":
            self.add_error("name", error.message)
        elif error.code == "IMAGE_NOT_FOUND":
            self.add_error("image", error.message)
        elif not error.details.get("fields"):
            rest.append(error.message)
        return " ".join(rest)


_CONTAINER_ONLY = ("command", "env", "ports", "volumes", "restart")
_VM_ONLY = ("disk_gib", "hostname", "ssh_key", "user_data")


def _container_config(given: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {key: given[key] for key in ("command", "env") if key in given}
    for key in ("ports", "volumes"):
        if key in given:
            config[key] = given[key].replace(",", " ").split()
    if given.get("restart", "no") != "no":
        config["restart_policy"] = {"policy": given["restart"]}
    if "network" in given:
        config["network_mode"] = given["network"]
    return config


def _vm_config(given: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if "network" in given:
        config["network"] = given["network"]
    if "disk_gib" in given:
        config["disk"] = {"size": int(given["disk_gib"] * _GIB)}
    seed: dict[str, Any] = {key: given[key] for key in ("hostname", "user_data") if key in given}
    if "ssh_key" in given:
        seed["ssh_keys"] = [given["ssh_key"].strip()]
    if seed:
        config["cloud_init"] = seed
    return config
