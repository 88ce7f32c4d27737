"""Whose language a page speaks: the account's, else the browser's choice, what it asks for, or the site's."""

from __future__ import annotations

import gzip
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.translation import override
from rest_framework.test import APIClient

from compute.actor import Actor
from compute.models import AuditEvent, User
from compute.states import InstanceState
from compute.templatetags.libgo import bytes_text
from compute.wording import ago_text, counted_noun, lasting_text, word_text

pytestmark = pytest.mark.django_db
GERMAN = {"HTTP_ACCEPT_LANGUAGE": "de-AT,de;q=0.9,en;q=0.5"}


@pytest.fixture
def own(operator: Actor) -> Client:
    client = Client()
    client.force_login(User.objects.get(pk=operator.user_id))
    return client


def _said(answer: Any) -> str:
    return f"{answer.headers['Content-Language']} {answer.content.decode()}"


def test_a_stranger_is_answered_as_the_browser_asks() -> None:
    said = _said(Client().get("/login", **GERMAN))
    assert said.startswith("de") and '<html lang="de">' in said and "Passwort" in said
    said = _said(Client().get("/login", HTTP_ACCEPT_LANGUAGE="fr"))
    assert said.startswith("en") and "Password" in said


def test_the_sign_in_page_keeps_a_choice() -> None:
    client = Client()
    answer = client.post("/language", {"language": "de", "next": "/login?next=/nodes"})
    assert answer.status_code == 302 and answer["Location"] == "/login?next=/nodes"
    assert client.cookies["libgo_language"]["httponly"] and "Anmelden" in _said(client.get("/login"))
    client.post("/language", {"language": "xx"})
    assert "Anmelden" in _said(client.get("/login"))
    assert client.post("/language", {"language": "en", "next": "//evil.example"})["Location"] == "/login"


def test_the_profile_decides_over_the_browser(own: Client) -> None:
    assert own.post("/profile/email", {"language": "de"}).status_code == 302
    said = _said(own.get("/profile", HTTP_ACCEPT_LANGUAGE="en"))
    assert said.startswith("de") and "Persönliche Tokens" in said
    assert 'value="de" lang="de" selected' in said
    own.post("/profile/email", {"language": ""})
    assert "Personal tokens" in _said(own.get("/profile", HTTP_ACCEPT_LANGUAGE="en"))


def test_the_api_sets_it_and_speaks_english(operator: Actor) -> None:
    client = APIClient()
    client.force_authenticate(User.objects.get(pk=operator.user_id))
    client.cookies["libgo_language"] = "de"
    answer = client.put("/api/v1/profile", {"language": "de"}, format="json", **GERMAN)
    assert answer.json()["language"] == "de"
    assert AuditEvent.objects.filter(action="profile.update").count() == 1
    refused = client.put("/api/v1/profile", {"language": "tlh"}, format="json", **GERMAN)
    assert refused.status_code == 400
    assert refused.json()["error"]["details"]["fields"]["language"] == "must be one of en, de, or empty."
    wrong = client.put("/api/v1/profile", {"language": ["de"]}, format="json", **GERMAN)
    assert wrong.status_code == 400 and "Not a valid string." in wrong.content.decode()


def test_the_words_of_scripts_are_kept_by_their_address(own: Client) -> None:
    page = own.get("/profile", **GERMAN).content.decode()
    address = page.split('<script defer src="/words.js')[1].split('"')[0].replace("&amp;", "&")
    answer = own.get(f"/words.js{address}")
    assert "immutable" in answer["Cache-Control"] and "Ordner" in answer.content.decode()
    assert answer["Content-Type"].startswith("text/javascript")
    pressed = own.get(f"/words.js{address}", headers={"accept-encoding": "gzip"})
    assert pressed["Content-Encoding"] == "gzip" and "Accept-Encoding" in pressed["Vary"]
    assert (
        gzip.decompress(pressed.content) == answer.content and len(pressed.content) < len(answer.content) / 2
    )
    assert "immutable" in pressed["Cache-Control"]
    other = own.get("/words.js?language=de&version=old")
    assert other["Cache-Control"] == "no-cache" and "Ordner" in other.content.decode()


def test_an_error_page_speaks_it_too(own: Client) -> None:
    answer = own.get("/instances/00000000-0000-4000-8000-000000000000", **GERMAN)
    assert answer.status_code == 404 and "Zur Übersicht" in answer.content.decode()


def test_numbers_times_and_words() -> None:
    with override("de"):
        assert bytes_text(1536) == "1,5 KiB"
        assert ago_text(timedelta(days=3)) == "vor 3 Tagen" and ago_text(timedelta(0)) == "vor 0 Minuten"
        assert lasting_text(5400) == "1 Stunde 30 Minuten"
        assert word_text(InstanceState.RUNNING) == "läuft" and word_text("instance.stop") == "anhalten"
        assert counted_noun("volume", 2) == "Volumes" and counted_noun("unheard", 2) == "unheard"
        assert word_text("an engine's own") == "an engine's own"
    assert bytes_text(1536) == "1.5 KiB" and word_text("instance.snapshot_delete") == "delete snapshot of"


def test_a_refused_sign_in_is_told_in_german(admin: Actor) -> None:
    client, form = Client(**GERMAN), {"username": "ada", "password": "wrong"}
    said = _said(client.post("/login", form))
    assert "Benutzername oder Passwort ist falsch." in said and "is wrong" not in said
    for _ in range(10):
        said = _said(client.post("/login", form))
    assert "Zu viele Anmeldeversuche." in said and "Too many" not in said


def test_what_scripts_were_told_is_said_in_the_readers_language(own: Client) -> None:
    asked = {"text": "There is no node “web”."}
    assert own.get("/told", asked).json() == asked
    assert own.get("/told", asked, **GERMAN).json() == {"text": "Es gibt keinen Knoten „web“."}
    unknown = {"text": "<b>zq</b> nobody translated this"}
    answer = own.get("/told", unknown, **GERMAN)
    assert answer.json() == unknown and answer["Content-Type"] == "application/json"
    assert own.get("/told").json() == {"text": ""}
    assert own.get("/told", {"text": "x" * 9000}, **GERMAN).json()["text"] == "x" * 4000
    assert Client().get("/told", asked).status_code == 302
