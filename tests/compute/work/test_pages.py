"""The pages of schedules and of operations with children."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from compute.actor import Actor
from compute.models import Instance, Schedule, User
from compute.services.bulk import BulkRequest, bulk_submit
from compute.services.schedule_runs import schedule_run_now
from tests.compute.work.conftest import Worked

pytestmark = pytest.mark.django_db

FORM: dict[str, Any] = {
    "name": "nightly",
    "project": "default",
    "cron": "30 2 * * 1-5",
    "timezone": "Europe/Berlin",
    "action": "stop",
    "q": "web-",
    "force": "on",
    "missed": "late",
    "within_minutes": "90",
    "overlap": "skip",
}


def _browser(actor: Actor) -> Client:
    client = Client()
    client.force_login(User.objects.get(pk=actor.user_id))
    return client


def test_a_schedule_is_made_shown_and_changed_by_the_form(
    operator: Actor, rows: list[Instance], worked: Worked
) -> None:
    browser = _browser(operator)
    assert "Make it" in browser.get("/schedules/new").content.decode()
    made = browser.post("/schedules/new", FORM)
    assert made.status_code == 302, made.content.decode()
    row = Schedule.objects.get()
    assert (row.options, row.target, row.missed_within_s) == (
        {"force": True},
        {"filter": {"q": "web-"}},
        5400,
    )
    with worked():
        schedule_run_now(operator, row.pk)
    page = browser.get(f"/schedules/{row.pk}").content.decode()
    assert "At 02:30 on Monday through Friday" in page and "1 hour 30 minutes" in page
    assert "4 of 4 done" in page and "by hand" in page and rows[0].name in page
    assert "nightly" in browser.get("/schedules").content.decode()
    edit = browser.get(f"/schedules/{row.pk}/edit").content.decode()
    assert 'value="90"' in edit and 'value="web-"' in edit
    ids = {**FORM, "q": "", "instances": [str(rows[0].pk)], "force": ""}
    assert browser.post(f"/schedules/{row.pk}/edit", ids).status_code == 302
    row.refresh_from_db()
    assert (row.options, row.target) == ({}, {"ids": [str(rows[0].pk)]})


def test_what_is_wrong_stands_beside_its_field(operator: Actor, rows: list[Instance]) -> None:
    browser = _browser(operator)
    page = browser.post("/schedules/new", {**FORM, "cron": "99 * * * *", "keep_daily": "7"}).content.decode()
    assert 'data-field="cron"' in page
    page = browser.post("/schedules/new", {**FORM, "keep_daily": "7"}).content.decode()
    assert "makes nothing that could be kept" in page
    assert not Schedule.objects.exists()
    look = browser.post("/schedules/look", {"cron": "x", "timezone": "UTC"}).content.decode()
    assert "five fields" in look


def test_a_viewer_sees_no_buttons_and_cannot_press_them(operator: Actor, viewer: Actor, rows: Any) -> None:
    _browser(operator).post("/schedules/new", FORM)
    row = Schedule.objects.get()
    browser = _browser(viewer)
    page = browser.get(f"/schedules/{row.pk}").content.decode()
    assert "Run now" not in page and "Edit" not in page
    for action in ("run", "pause", "delete"):
        assert browser.post(f"/schedules/{row.pk}/do/{action}").status_code == 403
    assert Schedule.objects.get().is_enabled


def test_buttons_pause_resume_and_delete(operator: Actor, rows: list[Instance]) -> None:
    browser = _browser(operator)
    browser.post("/schedules/new", FORM)
    row = Schedule.objects.get()
    for action, enabled in (("pause", False), ("resume", True)):
        assert browser.post(f"/schedules/{row.pk}/do/{action}").status_code == 204
        row.refresh_from_db()
        assert row.is_enabled is enabled
    assert browser.post(f"/schedules/{row.pk}/do/explode").status_code == 400
    assert browser.post(f"/schedules/{row.pk}/do/delete").status_code == 302
    assert not Schedule.objects.exists()


def test_an_operation_shows_its_parts(operator: Actor, rows: list[Instance], worked: Worked) -> None:
    with worked():
        parent = bulk_submit(operator, BulkRequest("stop", [row.pk for row in rows]))
    browser = _browser(operator)
    page = browser.get(f"/operations/{parent.pk}").content.decode()
    assert "Its parts" in page and all(row.name in page for row in rows)
    listed = browser.get("/operations").content.decode()
    assert listed.count(f"/operations/{parent.pk}") and "4 instances" in listed
    child = parent.children.first()
    assert child is not None and f"/operations/{child.pk}" not in listed
    assert f"/operations/{parent.pk}" in browser.get(f"/operations/{child.pk}").content.decode()
