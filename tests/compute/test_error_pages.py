"""What a page says when it cannot be shown: what happened, and what one can do now, in both languages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from compute.actor import Actor
from compute.models import User

pytestmark = pytest.mark.django_db

_GERMAN = {"Accept-Language": "de"}
_LINK = re.compile(r'class="btn[^"]*" href="([^"]*)"')


@pytest.fixture
def browser(admin: Actor, settings: Any) -> Client:
    """The administrator's, which shows the page of an error instead of raising it."""
    settings.ALLOWED_HOSTS = ["testserver"]
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    client.force_login(User.objects.get(pk=admin.user_id))
    return client


def _error(answer: Any) -> str:
    """The part of the page that says it."""
    text = answer.content.decode()
    found = re.search(r'<div class="empty" id="error">.*?</div></div>', text, re.DOTALL)
    assert found and answer["Content-Type"].startswith("text/html"), text[:500]
    return found[0]


def test_what_is_not_there_leads_on(browser: Client) -> None:
    came = browser.get("/nowhere", headers={"Referer": "http://testserver/nodes?q=a"}, HTTP_HOST="testserver")
    assert came.status_code == 404
    said = _error(came)
    assert "There is nothing here." in said and "Ctrl-K" in said
    assert _LINK.findall(said) == ["/nodes?q=a", "/"]
    assert "Hier ist nichts" in _error(browser.get("/nowhere", headers=_GERMAN))


@pytest.mark.parametrize(
    "referer",
    ["http://elsewhere.test/nodes", "http://testserver//evil.test/", "http://testserver/nowhere", "x"],
)
def test_the_way_back_never_leaves_this_site(browser: Client, referer: str) -> None:
    said = _error(browser.get("/nowhere", headers={"Referer": referer}, HTTP_HOST="testserver"))
    assert _LINK.findall(said) == ["/"]


def test_who_is_not_logged_in_is_told_to(browser: Client) -> None:
    browser.logout()
    said = _error(browser.get("/nowhere"))
    assert "when you have logged in" in said and "Ctrl-K" not in said


def test_a_form_that_is_too_old_says_that_nothing_was_sent(browser: Client) -> None:
    for headers, words in (({}, "was not sent"), (_GERMAN, "nicht abgeschickt")):
        answer = browser.post(
            "/profile/second-factor/begin",
            {"csrfmiddlewaretoken": "x" * 64},
            headers={**headers, "Referer": "http://testserver/profile"},
            HTTP_HOST="testserver",
        )
        assert answer.status_code == 403
        assert words in _error(answer) and "/profile" in _LINK.findall(_error(answer))


def test_what_nobody_expected_names_its_line_in_the_log(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the frame of the other pages, for it may be what is broken."""

    def broken(*given: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("compute.views.instance_table.instances_page", broken)
    for headers, words in (
        ({}, "Something went wrong inside LibGo."),
        (_GERMAN, "In LibGo ist etwas schiefgegangen"),
    ):
        answer = browser.get("/instances?q=a", headers=headers)
        said = _error(answer)
        assert answer.status_code == 500 and words in said and "a secret" not in answer.content.decode()
        assert answer["X-Request-ID"] in said and "/instances?q=a" in _LINK.findall(said)
        assert 'id="menu"' not in answer.content.decode()


def test_what_the_services_refuse_has_the_same_page(browser: Client) -> None:
    answer = browser.get("/instances/00000000-0000-0000-0000-000000000000")
    assert answer.status_code == 404 and "There is no instance" in _error(answer)


def test_programs_get_no_page(browser: Client) -> None:
    answer = browser.get("/api/v1/nowhere", headers=_GERMAN)
    assert answer.json()["error"]["code"] == "NOT_FOUND"
