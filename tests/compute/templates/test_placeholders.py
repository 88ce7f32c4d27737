"""Values come into bodies as values: whatever they are, the structure stays what its author wrote."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from compute.errors import InvalidInput
from compute.placeholders import body_check, body_fill, parameters_check, tree_escape, values_check
from tests.attacks.catalogue import attack

NASTY = [
    '"}, "privileged": true, "x": "',
    "a: b\\nruncmd: [id]",
    "${other}",
    "{{7*7}}",
    "'; drop",
    "- x",
    "*a",
]


def _one(**more: Any) -> list[dict[str, Any]]:
    return parameters_check([{"name": "x", **more}])


@attack("S61", "values of a template that hold JSON or YAML", refused="text, never structure")
@pytest.mark.parametrize("value", NASTY)
def test_a_value_is_never_structure(value: str) -> None:
    body = {"config": {"image": "demo", "env": {"A": "${x}", "B": "at ${x}:80"}, "command": ["run", "${x}"]}}
    filled = body_fill(body, values_check(_one(), {"x": value}))
    assert filled == {
        "config": {
            "image": "demo",
            "env": {"A": value, "B": f"at {value}:80"},
            "command": ["run", value],
        }
    }


@attack("S61", "the same within a text of YAML", refused="text, never structure")
@pytest.mark.parametrize("value", NASTY)
def test_nor_in_yaml_within_a_text(value: str) -> None:
    text = "#cloud-config\nhostname: ${x}\nusers:\n  - name: u-${x}\n"
    body = {"config": {"cloud_init": {"user_data": text}}}
    filled = body_fill(body, values_check(_one(), {"x": value}))["config"]["cloud_init"]["user_data"]
    assert filled.startswith("#cloud-config\n")
    assert yaml.safe_load(filled) == {"hostname": value, "users": [{"name": f"u-{value}"}]}


def test_types_stay_what_they_are() -> None:
    parameters = parameters_check(
        [
            {"name": "n", "type": "int", "default": 3},
            {"name": "b", "type": "bool", "default": False},
            {"name": "s", "type": "size", "default": "2GiB"},
            {"name": "c", "type": "choice", "choices": ["a", "b"], "required": True},
            {"name": "o"},
        ]
    )
    body = {
        "config": {"n": "${n}", "b": "${b}", "text": "${n}/${b}/${s}", "o": "${o}", "list": ["${o}", "${c}"]}
    }
    filled = body_fill(body, values_check(parameters, {"c": "b"}))
    assert filled == {"config": {"n": 3, "b": False, "text": "3/false/2147483648", "list": ["b"]}}


def test_a_literal_one_is_doubled() -> None:
    body = {"config": {"command": ["sh", "-c", "echo ${HOME} $${x}"]}}
    body_check(tree_escape(body), [])
    assert body_fill(tree_escape(body), {}) == body


@pytest.mark.parametrize(
    "kind, value",
    [
        ("int", "3"), ("int", True), ("int", 2**60), ("bool", 1), ("size", "10 apples"), ("size", -1),
        ("size", "9" * 15 + "P"), ("string", 3), ("string", "two\nlines"), ("string", "x" * 5000),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_without_repeating_them(kind: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        values_check(_one(type=kind, secret=True), {"x": value})
    assert list(refused.value.details["fields"]) == ["parameters.x"]
    assert str(value) not in refused.value.message or len(str(value)) < 3


@pytest.mark.parametrize(
    "item",
    [
        {"name": "X"}, {"name": ""}, {"name": "x", "type": "list"}, {"name": "x", "more": 1}, "x",
        {"name": "x", "type": "choice"}, {"name": "x", "choices": ["a"]}, {"name": "x", "required": "yes"},
        {"name": "x", "secret": True, "default": "s"}, {"name": "x", "type": "int", "default": "3"},
        {"name": "x", "description": "a\nb"}, {"name": "x", "type": ["int"]},
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused(item: Any) -> None:
    with pytest.raises(InvalidInput):
        parameters_check([item])


@pytest.mark.parametrize(
    "body",
    [
        {"config": {"env": {"A": "${y}"}}},
        {"config": {"env": {"A": "${}"}}},
        {"config": {"cloud_init": {"user_data": "#!/bin/sh\necho ${x}"}}},
        {"config": {"cloud_init": {"user_data": "a: &a [1]\nb: *a\nc: ${x}"}}},
        {"config": {"cloud_init": {"user_data": "a: [${x}"}}},
    ],
)
def test_what_cannot_be_filled_is_refused_when_it_is_written(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        body_check(body, _one())
    assert next(iter(refused.value.details["fields"])).startswith("config.")


def test_missing_and_unknown_values() -> None:
    with pytest.raises(InvalidInput) as refused:
        values_check(_one(required=True), {})
    assert refused.value.details["fields"] == {"parameters.x": "is needed."}
    with pytest.raises(InvalidInput):
        values_check(_one(), {"y": "1"})
