"""The form of a container: what matters first, the rest folded away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from compute.forms import CreateForm, Lines, Pairs, ShellWords, resources_of
from compute.selectors.masking import MASK, SECRET_MAPPINGS, config_masked
from compute.wording import later as _
from compute.wording import word_later

_RESTART = ("no", "unless-stopped", "always", "on-failure")
# Fields that carry the name of their key in the API's ``config`` and its value.
_SAME = (
    "command entrypoint env ports volumes working_dir user hostname read_only privileged tmpfs devices "
    "log_driver log_options"
).split()

_HEALTH = {"interval": "health_interval_s", "retries": "health_retries", "start_period": "health_start_s"}


class ContainerForm(CreateForm):
    SECTIONS: ClassVar[list[tuple[str, list[str]]]] = [
        ("", ["name", "image", "ports", "cpu", "memory_mib", "auto_start"]),
        (_("Data, environment, network"), ["volumes", "env", "network", "restart"]),
        (_("Command and user"), ["command", "entrypoint", "working_dir", "user", "hostname"]),
        (_("Health check"), ["health_command", "health_interval_s", "health_retries", "health_start_s"]),
        (_("Security"), ["read_only", "tmpfs", "cap_drop", "cap_add", "devices", "privileged"]),
        (_("Logging, labels"), ["log_driver", "log_options", "labels", "pull"]),
        (_("Placement"), ["project", "node", "node_labels"]),
    ]
    NARROW: ClassVar[set[str]] = {
        *CreateForm.NARROW,
        *"volumes restart working_dir user hostname health_interval_s health_retries".split(),
        *"health_start_s cap_drop cap_add tmpfs devices log_driver log_options pull labels".split(),
    }
    FIELD_OF: ClassVar[dict[str, str]] = {
        **{f"config.{name}": name for name in _SAME},
        "config.restart_policy": "restart",
        "config.network_mode": "network",
        "config.networks": "network",
        "config.health_check": "health_command",
        "config.capabilities": "cap_add",
        "config.pull": "pull",
        "labels": "labels",
    }

    ports = Lines(2, help_text=_("8080:80/tcp, one a line: on the host, then inside."))
    volumes = Lines(2, help_text=_("data:/var/lib/data, one a line; a volume that is not there is made."))
    env = Pairs(3, label=_("Environment"), help_text=_("NAME=value, one a line."))
    network = forms.CharField(max_length=128, required=False, help_text=_("Empty: bridge."))
    restart = forms.ChoiceField(
        required=False, label=_("Restart policy"), choices=[(word, word_later(word)) for word in _RESTART]
    )
    command = ShellWords(
        max_length=4000, required=False, help_text=_("As in a shell; empty: the image's own.")
    )
    entrypoint = ShellWords(max_length=4000, required=False)
    working_dir = forms.CharField(max_length=4000, required=False, label=_("Working directory"))
    user = forms.CharField(max_length=255, required=False, help_text=_("Name or id, with :group if wanted."))
    hostname = forms.CharField(max_length=63, required=False, label=_("Host name"))
    health_command = forms.CharField(
        max_length=4000,
        required=False,
        label=_("Command"),
        help_text=_("Run by a shell inside; 0 is healthy."),
    )
    health_interval_s = forms.FloatField(
        required=False, min_value=1, max_value=86400, label=_("Every (seconds)")
    )
    health_retries = forms.IntegerField(
        required=False, min_value=1, max_value=1000, label=_("Failures allowed")
    )
    health_start_s = forms.FloatField(
        required=False, min_value=0, max_value=86400, label=_("Grace at the start (seconds)")
    )
    read_only = forms.BooleanField(required=False, label=_("Its own file system cannot be written to"))
    tmpfs = Lines(2, label=_("Paths in memory"), help_text=_("/tmp, one a line."))  # nosec B108 # an example for a path inside a container
    cap_drop = Lines(2, label=_("Capabilities dropped"), help_text=_("ALL, NET_RAW …"))
    cap_add = Lines(2, label=_("Capabilities added"), help_text=_("Administrators only."))
    devices = Lines(2, help_text=_("/dev/fuse, one a line. Administrators only."))
    privileged = forms.BooleanField(
        required=False, label=_("Privileged: as good as root on the host (administrators only)")
    )
    log_driver = forms.ChoiceField(
        required=False,
        choices=[
            ("", _("the engine's own")),
            *((word, word_later(word)) for word in ("json-file", "local", "none")),
        ],
    )
    log_options = Pairs(2, help_text=_("max-size=10m, one a line."))
    labels = Pairs(2, help_text=_("name=value, one a line."))
    pull = forms.ChoiceField(
        required=False,
        label=_("Pull the image"),
        choices=[
            ("", _("when it is missing")),
            ("always", word_later("always")),
            ("never", word_later("never")),
        ],
    )

    def config(self, given: Mapping[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = {key: given[key] for key in _SAME if given.get(key)}
        if given.get("restart", "no") != "no":
            config["restart_policy"] = {"policy": given["restart"]}
        if given.get("network"):
            config["network_mode"] = given["network"]
        if given.get("pull"):
            config["pull"] = given["pull"]
        if given.get("health_command"):
            names = (
                ("interval", "health_interval_s"),
                ("retries", "health_retries"),
                ("start_period", "health_start_s"),
            )
            more = {ours: given[theirs] for ours, theirs in names if given.get(theirs)}
            config["health_check"] = {"test": given["health_command"], **more}
        capabilities = {key: given[f"cap_{key}"] for key in ("add", "drop") if given.get(f"cap_{key}")}
        if capabilities:
            config["capabilities"] = capabilities
        return config


# What says "as if it had never been asked for", by key of ``config``.
_CLEARED: dict[str, Any] = {
    "health_check": {"test": ["NONE"]},
    "capabilities": {"add": [], "drop": []},
    "restart_policy": {"policy": "no"},
    "env": {},
    "log_options": {},
    "privileged": False,
    "read_only": False,
    **dict.fromkeys(("command", "entrypoint", "ports", "volumes", "tmpfs", "devices"), []),
}


class EditForm(ContainerForm):
    """Other settings for a container that is there: one of its name takes its place."""

    _NOT_HERE = ("name", "network", "node", "auto_start", "pull", "labels")

    def __init__(self, backend: str, data: Any = None, **more: Any) -> None:
        first = more["initial"]
        # Shown masked; what stays masked stays as it is.
        self._stored: dict[str, dict[str, str]] = {
            name: dict(first.get(name) or {}) for name in SECRET_MAPPINGS
        }
        super().__init__(backend, data, initial=config_masked({**first, **self._stored}))
        for name in self._NOT_HERE:
            del self.fields[name]

    def changes(self) -> dict[str, Any]:
        """``config`` and ``resources`` of a recreate request: only what differs from the first values."""
        given = {key: value for key, value in self.cleaned_data.items() if value not in (None, "", [], {})}
        first = {key: value for key, value in self.initial.items() if value not in (None, "", [], {})}
        for name, stored in self._stored.items():
            if stored:
                first[name] = stored
            if name in given:
                given[name] = unmasked(given[name], stored)
        wanted, there = ({"image": part["image"], **self.config(part)} for part in (given, first))
        config = {key: value for key, value in wanted.items() if value != there.get(key)}
        config |= {key: _CLEARED.get(key, "") for key in there if key not in wanted}
        asked, now = resources_of(given), resources_of(first)
        resources = {key: value for key, value in asked.items() if value != now.get(key)}
        return {name: part for name, part in (("config", config), ("resources", resources)) if part}


def initial_of(name: str, config: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, Any]:
    """The form's first values from an instance's stored ``config`` (as it was checked, or as it was
    seen since) and limits in bytes and cores."""
    health, capabilities = config.get("health_check") or {}, config.get("capabilities") or {}
    test = health.get("test") or []
    restart = config.get("restart_policy") or {}
    memory = resources.get("memory_bytes")
    return {
        **{key: config[key] for key in _SAME if key in config},
        "name": name,
        "image": config.get("image", ""),
        "ports": [_port_text(port) for port in config.get("ports", [])],
        "cpu": resources.get("cpu_cores"),
        "memory_mib": memory // 1024**2 if memory else None,
        "restart": restart.get("policy") or restart.get("Name") or "no",
        "network": config.get("network_mode", ""),
        "health_command": test[1] if len(test) == 2 and test[0] == "CMD-SHELL" else " ".join(test[1:]),
        **{name: health.get(key) for key, name in _HEALTH.items()},
        "cap_add": capabilities.get("add", []),
        "cap_drop": capabilities.get("drop", []),
    }


def unmasked(values: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, str]:
    """What a person left as it was shown, masked, is as it was stored."""
    return {key: stored.get(key, "") if value == MASK else value for key, value in values.items()}


def _port_text(port: Any) -> str:
    if isinstance(port, str):
        return port
    outside = f"{port['host_ip']}:" if port["host_ip"] else ""
    return f"{outside}{port['host_port']}:{port['container']}".lstrip(":")
