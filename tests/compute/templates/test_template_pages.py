"""The pages of templates, with no script at all."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.test import Client

from compute.actor import Actor
from compute.models import Instance, Node, Operation, Template, User

BODY = {"config": {"image": "${image}", "env": {"TOKEN": "${token}"}}, "auto_start": False}
PARAMETERS = [
    {"name": "image", "type": "choice", "choices": ["demo", "other"], "default": "demo"},
    {"name": "token", "secret": True, "required": True, "description": "Of the <service>"},
    {"name": "size", "type": "size", "default": "2GiB"},
    {"name": "fast", "type": "bool", "default": True},
]


def _client(actor: Actor) -> Client:
    client = Client()
    client.force_login(User.objects.get(pk=actor.user_id))
    return client


@pytest.fixture
def page(operator: Actor, fake_node: Node, bells: list[str]) -> Client:
    return _client(operator)


def _written(page: Client, **change: str) -> Template:
    data = {"name": "web", "project": "default", "backend": "fake", "description": "words"}
    texts = {"body": json.dumps(BODY), "parameters": json.dumps(PARAMETERS)}
    answer = page.post("/templates/new", {**data, **texts, **change})
    assert answer.status_code == 302, answer.content
    return Template.objects.get(name="web")


def test_written_by_hand_then_used(page: Client, viewer: Actor) -> None:
    assert "placeholder" in page.get("/templates").content.decode()
    row = _written(page)
    shown = page.get(f"/templates/{row.pk}").content.decode()
    assert 'name="parameter_image"' in shown and 'type="password"' in shown
    assert "Of the &lt;service&gt;" in shown and 'value="2GiB"' in shown
    use = f"/templates/{row.pk}/use"
    wrong = page.post(use, {"name": "a b", "parameter_token": "t", "parameter_image": "demo"})
    assert 'data-field="name"' in wrong.content.decode() and not Instance.objects.exists()
    assert page.post(use, {"name": "w", "parameter_image": "demo"}).status_code == 200
    good = {"name": "w", "count": "2", "parameter_token": "t", "parameter_image": "other"}
    answer = page.post(use, good)
    parent = Operation.objects.get(action="template.instantiate")
    assert answer.status_code == 302 and str(parent.pk) in answer["Location"]
    assert page.get(answer["Location"]).status_code == 200
    assert sorted(Instance.objects.values_list("name", "image")) == [("w-1", "other"), ("w-2", "other")]
    looks = _client(viewer)
    assert looks.post(use, good).status_code == 403
    assert "Create from it" not in looks.get(f"/templates/{row.pk}").content.decode()
    assert looks.get(f"/templates/{row.pk}/edit").status_code == 403


def _an_older_version_is_used_and_comes_back(page: Client, row: Template) -> None:
    """What is shown is what is made."""
    shown = page.get(f"/templates/{row.pk}?version=1").content.decode()
    assert 'name="version" value="1"' in shown and "Create from version 1" in shown
    use = {"parameter_token": "t", "parameter_image": "demo"}
    assert page.post(f"/templates/{row.pk}/use", {**use, "name": "old", "version": "1"}).status_code == 302
    assert page.post(f"/templates/{row.pk}/use", {**use, "name": "new", "version": ""}).status_code == 302
    assert page.post(f"/templates/{row.pk}/use", {**use, "name": "no", "version": "9"}).status_code == 404
    labels = {each.name: each.labels for each in Instance.objects.all()}
    assert labels == {"old": {}, "new": {"a": "b"}}
    older = page.get(f"/templates/{row.pk}/edit?version=1").content.decode()
    assert "labels" not in older.partition('name="body"')[2].partition("</textarea>")[0]


def test_changed_into_versions_and_deleted(page: Client) -> None:
    row = _written(page)
    edit = f"/templates/{row.pk}/edit"
    assert "version 2" in page.get(edit).content.decode()
    data = {"name": "web", "description": "", "parameters": json.dumps(PARAMETERS), "comment": "because"}
    assert "no JSON" in page.post(edit, {**data, "body": "{"}).content.decode()
    unknown = page.post(edit, {**data, "body": '{"config": {"image": "${nobody}"}}'}).content.decode()
    assert 'data-field="body"' not in unknown or "nobody" in unknown
    body = json.dumps({**BODY, "labels": {"a": "b"}})
    assert page.post(edit, {**data, "body": body}).status_code == 302
    assert "because" in page.get(f"/templates/{row.pk}").content.decode()
    assert "not the newest" in page.get(f"/templates/{row.pk}?version=1").content.decode()
    assert page.get(f"/templates/{row.pk}?version=7").status_code == 404
    _an_older_version_is_used_and_comes_back(page, row)
    assert page.post(f"/templates/{row.pk}/remove").status_code == 302
    assert not Template.objects.exists()


def test_saved_from_an_instance(make: Callable[..., Instance], operator: Actor) -> None:
    page = _client(operator)
    web = make("web", config={"image": "demo", "env": {"API_TOKEN": "hidden-value"}})
    assert "Save as template" in page.get(f"/instances/{web.pk}/configuration").content.decode()
    path = f"/templates/new?instance={web.pk}"
    assert "web-template" in page.get(path).content.decode()
    assert page.post(path, {"name": "of-web", "project": "default"}).status_code == 302
    row = Template.objects.get(name="of-web")
    shown = page.get(f"/templates/{row.pk}").content.decode()
    assert "hidden-value" not in shown and "API_TOKEN" in shown


def test_the_site_s_are_its_administrators(page: Client, admin: Actor) -> None:
    data = {"name": "all", "project": "(the whole site)", "backend": "fake", "body": "{}", "parameters": "[]"}
    assert page.post("/templates/new", data).status_code == 200
    assert _client(admin).post("/templates/new", data).status_code == 302
    row = Template.objects.get()
    assert row.project is None
    assert "whole site" in page.get("/templates").content.decode()
    assert page.get(f"/templates/{row.pk}/edit").status_code == 403
