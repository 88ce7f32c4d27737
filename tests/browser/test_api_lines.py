"""Each line under “The same by API” does what its form would: alerts, backups, projects and accounts."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.api_line import api_line, replay
from tests.live import PASSWORD, LiveConsole

_DIALOG = "#dialog-box"


@pytest.fixture
def word(live: LiveConsole) -> Iterator[str]:
    """A name for things that are no instances; they go afterwards."""
    name = f"libgo-t-{uuid.uuid4().hex[:8]}"
    yield name
    for route in ("alerts/rules", "alerts/channels", "backups/targets", "users", "projects"):
        rows = live.get(f"/{route}?page_size=500")["items"]
        for row in rows:
            if name in (row.get("name"), row.get("username")):
                live.api("DELETE", f"/{route}/{row['id']}?force=true")


def _named(live: LiveConsole, route: str, name: str) -> dict[str, object]:
    rows = live.get(f"{route}?page_size=500")["items"]
    return next(row for row in rows if name in (row.get("name"), row.get("username")))


def test_the_lines_of_alerts_make_and_change_rules_and_channels(
    page: Page, live: LiveConsole, word: str
) -> None:
    page.goto(f"{live.url}/alerts/channels")
    page.click("button:has-text('New channel')")
    page.fill(f"{_DIALOG} [name=name]", word)
    page.select_option(f"{_DIALOG} [name=kind]", "email")
    page.fill(f"{_DIALOG} [name=recipients]", "ops@example.com, it@example.com")
    replay(live, api_line(page, _DIALOG))
    assert _named(live, "/alerts/channels", word)["recipients"] == ["ops@example.com", "it@example.com"]
    page.goto(f"{live.url}/alerts/rules")
    page.click("button:has-text('New rule')")
    page.fill(f"{_DIALOG} [name=name]", word)
    page.select_option(f"{_DIALOG} [name=metric]", "cpu_percent")
    page.fill(f"{_DIALOG} [name=threshold]", "90")
    page.select_option(f"{_DIALOG} [name=channels]", word)
    replay(live, api_line(page, _DIALOG))
    made = _named(live, "/alerts/rules", word)
    assert (made["threshold"], made["channels"]) == (90.0, [word])
    page.goto(f"{live.url}/alerts/rules")
    page.click(f"tr[data-name='{word}'] button:has-text('Change')")
    page.fill(f"{_DIALOG} [name=threshold]", "80")
    page.select_option(f"{_DIALOG} [name=channels]", [])
    replay(live, api_line(page, _DIALOG))
    changed = _named(live, "/alerts/rules", word)
    assert (changed["threshold"], changed["channels"]) == (80.0, []), "what was emptied is empty"


def test_the_lines_of_backups_add_a_target_back_up_and_restore(
    page: Page, live: LiveConsole, name: str, word: str
) -> None:
    page.goto(f"{live.url}/backups/targets")
    page.click(":is(a, button):has-text('Add a target')")
    page.fill(f"{_DIALOG} #target-name", word)
    page.fill(f"{_DIALOG} #target-folder", str(live.var / "backups" / word))
    replay(live, api_line(page, _DIALOG))
    assert _named(live, "/backups/targets", word)["kind"] == "local"
    made = live.create(name, "docker")
    page.goto(f"{live.url}/instances/{made['id']}/backups")
    page.click("main :is(a, button):has-text('Back up')")
    page.select_option(f"{_DIALOG} #backup-target", word)
    page.fill(f"{_DIALOG} #backup-description", 'it\'s "quoted"')
    line = api_line(page, _DIALOG).replace("/backups'", "/backups?wait=60'", 1)
    assert json.loads(replay(live, line))["operation"]["state"] == "succeeded"
    backup = live.get(f"/backups?instance={name}")["items"][0]
    assert backup["description"] == 'it\'s "quoted"'
    page.goto(f"{live.url}/backups/{backup['id']}")
    page.click("main :is(a, button):has-text('Restore')")
    page.fill(f"{_DIALOG} #restore-name", f"{name}-2")
    try:
        line = api_line(page, _DIALOG).replace("/restore'", "/restore?wait=60'", 1)
        assert json.loads(replay(live, line))["operation"]["state"] == "succeeded"
        assert live.get(f"/compute/instances/{name}-2")["state"] == "running"
    finally:
        live.api("DELETE", f"/compute/instances/{name}-2?force=true&wait=60")
        live.api("DELETE", f"/backups/{backup['id']}?wait=60")


def test_the_keys_of_a_bucket_are_not_shown(page: Page, live: LiveConsole, word: str) -> None:
    page.goto(f"{live.url}/backups/targets")
    page.click(":is(a, button):has-text('Add a target')")
    page.fill(f"{_DIALOG} #target-name", word)
    page.check(f"{_DIALOG} [name=kind][value=s3]")
    page.fill(f"{_DIALOG} #target-bucket", "backups")
    page.fill(f"{_DIALOG} #target-access", "AKIA-not-to-be-seen")
    page.fill(f"{_DIALOG} #target-secret", "not to be seen either")
    line = api_line(page, _DIALOG)
    assert "not" not in line
    replay(live, line, LIBGO_S3_ACCESS_KEY="a", LIBGO_S3_SECRET_KEY="b")
    made = _named(live, "/backups/targets", word)
    assert (made["kind"], made["has_credentials"]) == ("s3", True)


def test_the_lines_of_projects_and_people_make_and_change_them(
    page: Page, live: LiveConsole, word: str
) -> None:
    page.goto(f"{live.url}/users")
    page.fill("#user-name", word)
    page.fill("#user-password", "never shown in a line 7")
    line = api_line(page)
    assert "never shown" not in line
    replay(live, line, LIBGO_PASSWORD=PASSWORD)
    assert live.log_in(word), "with the password that the variable held"
    page.goto(f"{live.url}/projects")
    page.fill("#project-name", word)
    page.fill("#project-description", "For a while")
    project = json.loads(replay(live, api_line(page)))
    page.goto(f"{live.url}/projects/{project['id']}")
    page.fill("#member-user", word)
    page.select_option("#member-role", "operator")
    replay(live, api_line(page, "form:has(#member-user)"))
    members = live.get(f"/projects/{project['id']}/members")["items"]
    assert [(row["user"]["username"], row["role"]) for row in members] == [(word, "operator")]
    page.fill("#project-description", "")
    replay(live, api_line(page, "form:has(#project-description)"))
    assert live.get(f"/projects/{project['id']}")["description"] == ""


def test_the_lines_of_an_account_change_it(page: Page, live: LiveConsole, word: str) -> None:
    made = live.api("POST", "/users", {"username": word, "password": PASSWORD}).json()
    page.goto(f"{live.url}/users/{made['id']}")
    page.fill("#user-email", "new@example.com")
    replay(live, api_line(page, "form:has(#user-email)"))
    assert live.get(f"/users/{made['id']}")["email"] == "new@example.com"
    page.fill("#user-password", "what is typed here")
    line = api_line(page, "form:has(#user-password)")
    assert "typed" not in line
    replay(live, line, LIBGO_PASSWORD="another long password 8")
    assert live.log_in(word, "another long password 8")
