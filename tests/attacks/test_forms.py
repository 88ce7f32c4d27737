"""What goes in as text stays text; what nobody may set is not set; what is too much is refused at once."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from compute.actor import Actor
from compute.models import Instance, User
from libgo_site.logs import logging_config
from tests.attacks.catalogue import attack
from tests.compute.api.conftest import client_for
from tests.live import strain

BASE = "/api/v1"
ONE = f"{BASE}/compute/instances"


@attack(
    "S65",
    "newlines and escapes in what is logged: in the words, in what stands beside them, in a traceback",
    refused="one event is one line, the lines of a traceback begin with a bar; escapes are encoded",
)
@pytest.mark.parametrize("form", ["json", "text"])
def test_nobody_writes_lines_of_a_log(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.config, "dictConfig", lambda _: None)
    monkeypatch.setattr("structlog.configure", lambda **_: None)
    line = logging_config("INFO", form)["formatters"]["line"]
    formatter = line.pop("()")(**line)
    hostile = "mallory\n2026-01-01 [info] ada logged in\r\x1b[2J\u2028\x9b"
    foreign = logging.LogRecord("libgo", logging.INFO, "x", 1, "refused %s", (hostile,), None)
    told = {"event": hostile, "reason": hostile, "names": [hostile]}
    own = logging.LogRecord("libgo", logging.INFO, "x", 1, told, (), None)
    own._logger, own._name = None, "info"  # type: ignore[attr-defined]
    for record in (foreign, own):
        text = formatter.format(record)
        assert len(text.splitlines()) == 1 and "mallory" in text
        assert not [letter for letter in text if not letter.isprintable()]
    try:
        raise ValueError(hostile)
    except ValueError:
        crash = logging.LogRecord("libgo", logging.ERROR, "x", 1, "crashed", (), sys.exc_info())
    first, *rest = formatter.format(crash).splitlines()
    assert "crashed" in first and all(line.startswith("  | ") for line in rest)
    assert not [letter for letter in first + "".join(rest) if not letter.isprintable()]


@attack("S35", "id, owner, state, engine id and role in what one sends", refused="400 naming the field")
@pytest.mark.django_db
@pytest.mark.parametrize(
    "field",
    ["id", "uuid", "owner", "role", "state", "managed", "engine_id", "created_by", "is_staff", "node_id"],
)
def test_what_nobody_may_set_is_refused(operator: Actor, fake_node: Any, make: Any, field: str) -> None:
    client = client_for(operator)
    body = {"name": "web2", "backend": "fake", "config": {"image": "demo"}, field: "x"}
    answer = client.post(ONE, body, format="json")
    assert answer.status_code == 400 and field in answer.json()["error"]["details"]["fields"], answer.content
    row = make("web")
    before = Instance.objects.values().get(pk=row.pk)
    answer = client.put(f"{ONE}/{row.pk}", {field: "x"}, format="json")
    assert answer.status_code == 400, answer.content
    assert Instance.objects.values().get(pk=row.pk) == before
    assert not Instance.objects.filter(name="web2").exists()


@attack(
    "S35", "making oneself an administrator by one's own profile", refused="400; the account is as it was"
)
@pytest.mark.django_db
@pytest.mark.parametrize(
    "field", ["is_superuser", "is_staff", "role", "roles", "username", "id", "token_version"]
)
def test_nobody_lifts_oneself(operator: Actor, field: str) -> None:
    before = User.objects.values().get(pk=operator.user_id)
    client = client_for(operator)
    for method in ("put", "patch", "post"):
        answer = getattr(client, method)(f"{BASE}/profile", {field: True}, format="json")
        assert answer.status_code in (400, 403, 405), f"{method}: {answer.content!r}"
    answer = client.put(f"{BASE}/users/{operator.user_id}", {field: True}, format="json")
    assert answer.status_code in (400, 403, 404), answer.content
    assert User.objects.values().get(pk=operator.user_id) == before


_NAMES = ["w\neb", "wéb", "wеb", "web\u202e", "../web", "-web", ".web", "web/x", "we b", "x" * 64, "", "<b>"]
_NAMES += ["web;id", "${web}", "web\x00"]


@attack(
    "S36 S54",
    "names with a newline, a look-alike, a path, an option",
    refused="400 naming the field",
)
@pytest.mark.django_db
@pytest.mark.parametrize("name", _NAMES, ids=ascii)
def test_a_name_is_a_name(operator: Actor, fake_node: Any, name: str) -> None:
    body = {"name": name, "backend": "fake", "config": {"image": "demo"}}
    answer = client_for(operator).post(ONE, body, format="json")
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "INVALID_INPUT", answer.content
    assert not Instance.objects.exists()


@attack("S36", "a name with a newline at its end", refused="it is the name without it")
@pytest.mark.django_db
@pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028"])
def test_what_is_not_seen_at_the_end_is_no_part_of_a_name(operator: Actor, fake_node: Any, end: str) -> None:
    body = {"name": f"web{end}", "backend": "fake", "config": {"image": "demo"}}
    assert client_for(operator).post(ONE, body, format="json").status_code in (202, 400)
    assert set(Instance.objects.values_list("name", flat=True)) <= {"web"}


@attack(
    "S36",
    "a name that is another's id, another's engine id and its beginning",
    refused="an id means whose id it is, to whoever asks",
)
@pytest.mark.django_db
def test_a_name_takes_nobodys_place(
    operator: Actor, stranger: Actor, fake_node: Any, make: Callable[..., Instance]
) -> None:
    theirs = make("theirs")
    Instance.objects.filter(pk=theirs.pk).update(engine_id="ab" * 32)
    for number, taken in enumerate((str(theirs.pk), theirs.pk.hex, "ab" * 32, "ab" * 6)):
        named = make(f"x-{number}")
        Instance.objects.filter(pk=named.pk).update(name=taken)
        for actor, status in ((operator, 200), (stranger, 404)):
            answer = client_for(actor).get(f"{ONE}/{theirs.pk}")
            assert answer.status_code == status, answer.content
        assert client_for(operator).get(f"{ONE}/{theirs.pk}").json()["name"] == "theirs"


def _deep(opening: str, closing: str) -> bytes:
    return (opening * 100_000 + closing * 100_000).encode()


_COSTLY = {
    "depth of lists": _deep("[", "]"),
    "depth of objects": (b'{"a":' * 100_000) + b"1" + b"}" * 100_000,
    "as many keys as fit": ("{" + ",".join(f'"k{n}":1' for n in range(150_000)) + "}").encode(),
    "a million keys": ("{" + ",".join(f'"k{n}":1' for n in range(1_000_000)) + "}").encode(),
    "a hundred megabytes": b'{"name": "' + b"x" * 100 * 1024**2 + b'"}',
    "a huge number": b'{"name": ' + b"9" * 1_000_000 + b"}",
    "infinity": b'{"name": Infinity}',
    "not a number": b'{"resources": {"memory": {"limit": NaN}}}',
    "one key twice": b'{"name": "a", "name": {"b": 1}}',
    "half a letter": b'{"name": "\\ud800"}',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "nothing": b"",
    "a list": b"[]",
}


@attack(
    "S83", "JSON built to cost: depth, keys, numbers, broken letters", refused="400 or 413 within two seconds"
)
@pytest.mark.django_db
@pytest.mark.parametrize("body", _COSTLY.values(), ids=_COSTLY.keys())
def test_costly_json_is_refused_quickly(operator: Actor, fake_node: Any, body: bytes) -> None:
    client, began = client_for(operator), time.process_time()
    answer = client.post(ONE, body, content_type="application/json")
    assert time.process_time() - began < 2
    assert answer.status_code in (400, 413), answer.content[:200]
    assert answer.json()["error"]["message"]


def _parts(count: int, named: str) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="n"{named}\r\n\r\nx\r\n'
    return head.encode() * count + b"--b--\r\n"


_FORMS = {
    "100,000 parts": ("multipart/form-data; boundary=b", _parts(100_000, "")),
    "100,000 files": ("multipart/form-data; boundary=b", _parts(100_000, '; filename="f"')),
    "a boundary of 64 KiB": (f"multipart/form-data; boundary={'b' * 65536}", b"x"),
    "a million fields": ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 1_000_000)),
    "as many fields as fit": ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 500_000)),
}


@attack(
    "S83",
    "forms built to cost, at the login and at the API: 100,000 parts or files, a million fields",
    refused="400, 413 or 415 within two seconds; nobody is signed in",
)
@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "body"), _FORMS.values(), ids=_FORMS.keys())
def test_costly_forms_are_refused_quickly(operator: Actor, fake_node: Any, kind: str, body: bytes) -> None:
    pages, began = Client(raise_request_exception=False), time.process_time()
    answer = pages.generic("POST", "/login", body, content_type=kind)
    assert answer.status_code in (400, 413), answer.content[:200]
    assert "_auth_user_id" not in pages.session
    refused = client_for(operator).generic("POST", ONE, body, content_type=kind)
    assert refused.status_code in (400, 413, 415), refused.content[:200]
    assert time.process_time() - began < 4
    assert not Instance.objects.exists()


_SIZES = [-1, 0, 1e308, 2**63, 2**200, "NaN", "inf", "1e9999", True, [1], {"a": 1}, "9" * 5000]


@attack(
    "S84",
    "sizes that are negative, infinite, no numbers or larger than any",
    refused="400; nothing is reserved",
)
@pytest.mark.django_db
@pytest.mark.parametrize("size", _SIZES, ids=range(len(_SIZES)))
def test_a_size_is_a_size(operator: Actor, fake_node: Any, size: Any) -> None:
    client = client_for(operator)
    for resources in ({"memory": {"limit": size}}, {"cpu": {"cores": size}}):
        if resources == {"cpu": {"cores": True}}:
            continue
        body = {"name": "web", "backend": "fake", "config": {"image": "demo"}, "resources": resources}
        answer = client.post(ONE, json.dumps(body), content_type="application/json")
        assert answer.status_code in (400, 403), f"{resources}: {answer.status_code} {answer.content[:300]!r}"
    assert not Instance.objects.exists()


@attack("S81", "waits, tails and intervals without bounds", refused="400 naming the parameter, or the bound")
@pytest.mark.django_db
@pytest.mark.parametrize(
    "query",
    [
        "logs?tail=1000000000000",
        "logs?tail=-5",
        "logs?since=never",
        "usage?interval=1ms",
        "usage?start=0",
        "usage?hours=x",
    ],
)
def test_nothing_is_asked_for_without_bounds(
    operator: Actor, make: Callable[..., Instance], query: str
) -> None:
    began = time.monotonic()
    answer = client_for(operator).get(f"{ONE}/{make('web').pk}/{query}")
    assert answer.status_code == 400, answer.content[:300]
    assert time.monotonic() - began < 10 * strain()
