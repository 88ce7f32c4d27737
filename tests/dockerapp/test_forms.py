"""The form of a container: what is typed becomes the body that the API takes, and back."""

from __future__ import annotations

from typing import Any

from compute.errors import InvalidInput
from compute.selectors.masking import MASK
from dockerapp.engine.spec import config_check
from dockerapp.forms import ContainerForm, initial_of, unmasked

_TYPED = {
    "name": "web",
    "image": "nginx:1.27",
    "ports": "8080:80/tcp\n127.0.0.1:8443:443\n",
    "volumes": "data:/data",
    "env": "A=1\nB=x=y\n",
    "cpu": "1.5",
    "memory_mib": "256",
    "restart": "unless-stopped",
    "command": "sh -c 'echo hi'",
    "health_command": "wget -q localhost",
    "health_interval_s": "10",
    "read_only": "on",
    "cap_drop": "ALL",
    "labels": "team=a",
    "auto_start": "on",
}


def _form(**changes: str) -> ContainerForm:
    form = ContainerForm("docker", {**_TYPED, **changes})
    form.is_valid()
    return form


def test_what_is_typed_becomes_a_body_that_the_engine_takes() -> None:
    body = _form().body()
    assert body.resources == {"cpu": {"cores": 1.5}, "memory": {"limit": 256 * 1024**2}}
    assert body.labels == {"team": "a"} and body.auto_start
    checked = config_check(dict(body.config), allow_root_equivalent=False)
    assert checked["command"] == ["sh", "-c", "echo hi"]
    assert checked["env"] == {"A": "1", "B": "x=y"}
    assert [port["host_port"] for port in checked["ports"]] == ["8080", "8443"]
    assert checked["health_check"] == {"test": ["CMD-SHELL", "wget -q localhost"], "interval": 10}


def test_a_stored_configuration_fills_the_form_and_comes_back_the_same() -> None:
    first = config_check(dict(_form().body().config), allow_root_equivalent=False)
    initial = initial_of("web", first, {"cpu_cores": 1.5, "memory_bytes": 256 * 1024**2})
    shown = ContainerForm("docker", initial=initial)
    typed: dict[str, Any] = {name: shown[name].value() for name in shown.fields}
    prepared = {name: shown.fields[name].prepare_value(value) for name, value in typed.items()}
    sent = {name: "on" if value is True else value for name, value in prepared.items() if value}
    again = ContainerForm("docker", sent)
    assert again.is_valid(), again.errors
    assert config_check(dict(again.body().config), allow_root_equivalent=False) == first


def test_folded_sections_open_where_something_is_wrong_or_filled_in() -> None:
    sections = {section["title"]: section["open"] for section in _form(health_retries="-1").sections}
    assert sections["Health check"] and sections["Command and user"]
    fresh = {section["title"]: section["open"] for section in ContainerForm("docker").sections}
    assert not fresh["Security"]


def test_broken_quotes_and_lines_without_a_name_are_told_beside_their_field() -> None:
    form = _form(command="sh -c 'oops", env="JUST TEXT")
    assert "quotes" in form.errors["command"][0] and "NAME=value" in form.errors["env"][0]


def test_a_complaint_of_the_api_lands_beside_its_field() -> None:
    form = _form()
    rest = form.complain(InvalidInput.field("config.health_check.test", "is odd."))
    assert rest == "" and form.errors["health_command"] == ["is odd."]
    assert form.complain(InvalidInput.field("config.unheard", "is odd.")) == "config.unheard: is odd."


def test_what_was_left_masked_stays_as_it_was() -> None:
    assert unmasked({"PASSWORD": MASK, "A": "2"}, {"PASSWORD": "s", "A": "1"}) == {"PASSWORD": "s", "A": "2"}
