"""The pages of alerts: who sees and does what, and forms that say what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from compute.actor import Actor
from compute.execution.alerts.evaluate import alerts_evaluate
from compute.models import AlertChannel, AlertDelivery, AlertRule, Instance, Operation, User

pytestmark = pytest.mark.django_db
RULE = {
    "name": "busy", "kind": "instance_usage", "metric": "cpu_percent", "above": "yes", "threshold": "80",
    "for_s": "60", "severity": "warning", "enabled": "on",
}  # fmt: skip
HOOK = {"name": "hook", "kind": "webhook", "project": "the whole site", "url": "https://example.org/"}


@pytest.fixture
def browse(client: Client, settings: Any) -> Any:
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }

    def log_in(actor: Actor) -> Client:
        client.force_login(User.objects.get(pk=actor.user_id))
        return client

    return log_in


def _text(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return str(answer.content.decode())


def test_an_administrator_makes_channels_and_rules(browse: Any, admin: Actor, fake_node: Any) -> None:
    pages = browse(admin)
    for page in ("/alerts", "/alerts/rules", "/alerts/channels", "/alerts/rules/new", "/alerts/channels/new"):
        _text(pages.get(page))
    made = _text(pages.post("/alerts/channels/new", HOOK))
    assert "not shown again" in made
    channel = AlertChannel.objects.get()
    assert "example.org" in _text(pages.get("/alerts/channels"))
    assert (
        pages.post(f"/alerts/channels/{channel.pk}", {**HOOK, "url": "https://b.example.org/"}).status_code
        == 204
    )
    rule = {**RULE, "project": "the whole site", "channels": ["hook"], "clear_threshold": "60"}
    assert pages.post("/alerts/rules/new", rule).status_code == 204
    row = AlertRule.objects.get()
    assert (row.project, row.threshold, row.clear_threshold, row.channels.count()) == (None, 80, 60, 1)
    assert 'value="busy"' in _text(pages.get(f"/alerts/rules/{row.pk}"))
    assert pages.post(f"/alerts/rules/{row.pk}", {**rule, "threshold": "90"}).status_code == 204
    row.refresh_from_db()
    assert row.threshold == 90
    pages.post(f"/alerts/rules/{row.pk}/silence", {"for_s": "3600"})
    assert "silenced" in _text(pages.get("/alerts/rules"))
    for path in (f"/alerts/rules/{row.pk}/remove", f"/alerts/channels/{channel.pk}/remove"):
        _text(pages.get(path))
        assert pages.post(path).status_code == 204
    assert not AlertRule.objects.exists() and not AlertChannel.objects.exists()


def test_thresholds_are_written_and_shown_with_their_unit(browse: Any, admin: Actor) -> None:
    pages = browse(admin)
    rule = {
        **RULE, "project": "the whole site", "metric": "memory_bytes", "threshold": "2 GiB",
        "clear_threshold": "1.5G",
    }  # fmt: skip
    wrong = _text(pages.post("/alerts/rules/new", {**rule, "threshold": "80 %"}))
    assert "Must be a number with a unit of the measure" in wrong and not AlertRule.objects.exists()
    assert pages.post("/alerts/rules/new", rule).status_code == 204
    row = AlertRule.objects.get()
    assert (row.threshold, row.clear_threshold) == (2 * 1024**3, 1.5 * 1024**3)
    assert "memory above 2 GiB" in _text(pages.get("/alerts/rules"))
    form = _text(pages.get(f"/alerts/rules/{row.pk}"))
    assert 'value="2 GiB"' in form and 'value="1.5 GiB"' in form


def test_what_is_wrong_stands_beside_its_field(browse: Any, admin: Actor, operator: Actor) -> None:
    pages = browse(admin)
    wrong = _text(pages.post("/alerts/rules/new", {**RULE, "project": "the whole site", "metric": ""}))
    assert "must be one of" in wrong
    assert "must begin with https" in _text(pages.post("/alerts/channels/new", {**HOOK, "url": "ftp://x"}))
    pages = browse(operator)
    host = {**RULE, "project": "default", "kind": "node_unreachable", "metric": ""}
    assert "only rules of the site" in _text(pages.post("/alerts/rules/new", host))
    assert not AlertRule.objects.exists()


def test_viewers_look_and_do_nothing(browse: Any, viewer: Actor) -> None:
    AlertRule.objects.create(name="down", kind="instance_down")
    pages = browse(viewer)
    assert "Change" not in _text(pages.get("/alerts/rules"))
    _text(pages.get("/alerts/channels"))
    for path in ("/alerts/channels/new", f"/alerts/rules/{AlertRule.objects.get().pk}"):
        assert pages.get(path).status_code == 403


def test_the_bell_counts_what_is_new(browse: Any, operator: Actor, make: Any) -> None:
    row = make("web")
    Instance.objects.filter(pk=row.pk).update(state="error")
    Operation.objects.all().update(action="instance.start")
    AlertRule.objects.create(name="down", kind="instance_down", project=row.project)
    alerts_evaluate()
    pages = browse(operator)
    assert 'data-new="1"' in _text(pages.get("/alerts/bell"))
    listed = _text(pages.get("/alerts"))
    assert "web" in listed and "Look after it" in listed
    assert "data-new" not in _text(pages.post("/alerts/seen"))
    assert "data-new" not in _text(pages.get("/alerts/bell"))


def test_the_log_of_a_channel_says_what_became_of_it(browse: Any, admin: Actor) -> None:
    channel = AlertChannel.objects.create(name="hook", kind="webhook", config={"url": "https://example.org/"})
    pages = browse(admin)
    assert "queued" in _text(pages.post(f"/alerts/channels/{channel.pk}/test"))
    AlertDelivery.objects.update(
        state="failed", status=500, error="It answered 500.", finished_at=timezone.now()
    )
    shown = _text(pages.get(f"/alerts/channels/{channel.pk}/log"))
    assert "It answered 500." in shown and "every 2s" not in shown


def test_rules_about_backups_and_about_what_is_unmanaged(browse: Any, admin: Actor, operator: Actor) -> None:
    pages = browse(admin)
    overdue = {**RULE, "name": "late", "kind": "backup_overdue", "metric": "", "threshold": "24"}
    site = {"project": "the whole site"}
    assert "only a backup that is too old" in _text(
        pages.post("/alerts/rules/new", {**overdue, **site, "above": "no"})
    )
    assert "is needed to compare" in _text(
        pages.post("/alerts/rules/new", {**overdue, **site, "threshold": ""})
    )
    assert pages.post("/alerts/rules/new", {**overdue, **site}).status_code == 204
    row = AlertRule.objects.get(name="late")
    assert (row.metric, row.threshold) == ("backup_age_hours", 24)
    outside = {"name": "beside", "kind": "instance_unmanaged", "metric": "", "threshold": ""}
    assert pages.post("/alerts/rules/new", {**RULE, **outside, **site}).status_code == 204
    theirs = {**RULE, **outside, "name": "ours", "project": "default"}
    assert "only rules of the site do" in _text(pages.post("/alerts/rules/new", theirs))
