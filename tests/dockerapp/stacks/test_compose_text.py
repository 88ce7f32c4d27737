"""A compose file is hostile text: read within bounds, and nothing of this machine is read by it."""

from __future__ import annotations

import time

import pytest
import yaml

from dockerapp.engine.compose_text import document_read, env_text
from dockerapp.engine.compose_tool import compose_resolve
from tests.attacks.catalogue import attack
from tests.live import strain

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "an alias bomb": BOMB,
    "aliases in a ring": "a: &a\n  b: *a\n",
    "depth": "[" * 100_000,
    "depth by indentation": "".join(" " * n + "a:\n" for n in range(200)),
    "ten megabytes in one value": "a: " + "x" * 10_000_000,
    "one long value": "a: " + "x" * 100_000,
    "very many keys": "".join(f"k{n}: 1\n" for n in range(30_000)),
    "python": "services: !!python/object/apply:os.system [id]",
    "a tag of Compose": "services: !reset {}",
    "a binary tag": "services: !!binary aGk=",
    "two documents": "services: {}\n---\nservices: {}\n",
    "a null character": "services: \x00",
    "no mapping": "- services",
    "nothing": "  \n",
    "a list as a key": "? [a, b]\n: c\n",
    "an open bracket": "services:\n  web:\n    image: [\n",
}


@attack("S51", "compose files with alias bombs, huge scalars, tags, depth", refused="refused within a second")
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_refused_within_a_second_with_a_reason(text: str) -> None:
    began = time.monotonic()
    document, problems = document_read(text)
    assert time.monotonic() - began < 1 * strain()
    assert document is None and len(problems) == 1
    assert problems[0].reason and len(problems[0].reason) < 400


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("services:\n  web:\n    image: a\n  web:\n    image: b\n", 4),
        ("services:\n  web: {image: a, image: b}\n", 2),
        ("services:\n\tweb: {}\n", 2),
        ("services:\n  web:\n    image: !!python/name:os.x a\n", 3),
    ],
    ids=["a service twice", "a key twice", "a tab", "a tag"],
)
def test_the_line_of_a_problem_is_told(text: str, line: int) -> None:
    _, problems = document_read(text)
    assert problems[0].line == line, problems


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("services: {web: {image: a, env_file: /etc/passwd}}", "compose_env_file"),
        ("services: {web: {image: a, label_file: x}}", "compose_label_file"),
        ("services: {web: {image: a, extends: {file: /etc/x.yml, service: b}}}", "compose_extends"),
        ("services: {web: {build: .}}", "compose_build"),
        ("services: {web: {image: a, provider: {type: sh}}}", "compose_provider"),
        ("services: {web: {image: a}}\ninclude: [/etc/x.yml]", "compose_include"),
        ("services: {web: {image: a}}\nsecrets: {s: {file: /etc/shadow}}", "compose_secrets"),
        ("services: {web: {image: a}}\nconfigs: {c: {file: /etc/shadow}}", "compose_configs"),
        ("x: &x {env_file: /etc/passwd}\nservices: {web: {<<: *x, image: a}}", "compose_env_file"),
        ("x: &x {env_file: [a]}\nservices: {web: {<<: [{}, *x], image: a}}", "compose_env_file"),
        ('x: &x {env_file: [a]}\nservices: {web: {"<<": *x, image: a}}', "compose_env_file"),
    ],
)
def test_what_would_read_files_of_this_machine_is_refused_by_name(text: str, rule: str) -> None:
    document, problems = document_read(text)
    assert document is not None
    assert [problem.rule for problem in problems] == [rule]


def test_what_goes_on_is_written_anew_and_means_the_same() -> None:
    text = 'x-e: &e {A: yes, B: "no", C: 0o17, D: 22:22}\nservices: {web: {image: a, environment: *e}}'
    document, problems = document_read(text)
    assert document is not None and problems == []
    assert yaml.safe_load(document.text) == yaml.safe_load(text)
    model, error, _ = compose_resolve("t", document.text, "")
    assert model is not None, error
    # As Compose reads it, not as Python would: the words are words.
    assert model["services"]["web"]["environment"]["A"] == "yes"
    assert model["services"]["web"]["environment"]["D"] == "22:22"


def test_variables_come_back_exactly() -> None:
    values = {
        "A": 'it\'s "quoted"',
        "B": "$HOME ${X} $$",
        "C": "two\nlines\r\n",
        "D": "# \\n \\ ` !",
        "E": "ü ☃",
    }
    names = ", ".join(f'{name}: "${{{name}}}"' for name in values)
    text = f"services: {{web: {{image: a, environment: {{{names}}}}}}}"
    model, error, _ = compose_resolve("t", text, env_text(values))
    assert model is not None, error
    found = {k: v.replace("$$", "$") for k, v in model["services"]["web"]["environment"].items()}
    assert found == values


def test_nothing_of_the_environment_of_this_process_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "a secret of the server")
    text = 'services: {web: {image: a, environment: {X: "${CANARY}${PATH}${HOME}", CANARY: }}}'
    model, error, warnings = compose_resolve("t", text, "")
    assert model is not None, error
    assert model["services"]["web"]["environment"] == {"X": "", "CANARY": None}
    assert any("CANARY" in line for line in warnings)


@attack(
    "S43",
    "ranges of tens of thousands of ports, in each way of writing them",
    refused="named with their line",
)
@pytest.mark.parametrize(
    "ports",
    ["['1000-60999:1000-60999']", "['127.0.0.1:1-65535:1-65535/udp']", "[{target: 80, published: 1-60000}]"],
)
def test_a_wide_range_of_ports_is_refused_before_compose_writes_it_out(ports: str) -> None:
    _, problems = document_read(f"services:\n  web:\n    image: a\n    ports: {ports}\n")
    assert [(found.line, found.service) for found in problems] == [(4, "web")]
    assert document_read("services:\n  web:\n    ports: ['8000-8100:8000-8100']\n")[1] == []
