"""The pages of limits, and the bars beside what would use them."""

from __future__ import annotations

import pytest
from django.test import Client

from compute.actor import Actor
from compute.models import Node, Project, User
from compute.services.limit_settings import project_limits_set, site_limits_set
from tests.compute.limits.conftest import GIB, Ask

HTMX = {"HTTP_HX_REQUEST": "true"}


def _client(actor: Actor) -> Client:
    client = Client()
    client.force_login(User.objects.get(pk=actor.user_id))
    return client


@pytest.fixture
def page_admin(admin: Actor) -> Client:
    return _client(admin)


@pytest.fixture
def page_operator(operator: Actor) -> Client:
    return _client(operator)


def test_all_limits_on_one_page(page_admin: Client, page_operator: Client, ask: Ask, admin: Actor) -> None:
    ask("web", memory=GIB)
    site_limits_set(admin, {"max_memory_bytes": 4 * GIB})
    shown = page_admin.get("/limits").content.decode()
    assert "1 GiB of 4 GiB" in shown and "oscar" in shown
    assert page_operator.get("/limits").status_code == 403


def test_they_are_set_in_dialogs(page_admin: Client, project: Project, operator: Actor) -> None:
    path = f"/limits/projects/{project.pk}"
    assert 'name="max_memory_gib"' in page_admin.get(path, **HTMX).content.decode()
    saved = page_admin.post(path, {"max_instances": "3", "max_memory_gib": "1.5"}, **HTMX)
    assert saved.status_code == 204 and saved["HX-Refresh"] == "true"
    project.refresh_from_db()
    assert (project.max_instances, project.max_memory_bytes) == (3, 1536 * 1024**2)
    wrong = page_admin.post(path, {"max_instances": "-1"}, **HTMX)
    assert wrong.status_code == 200 and "invalid-feedback" in wrong.content.decode()
    assert page_admin.post(f"/limits/users/{operator.user_id}", {"max_instances": "2"}).status_code == 204
    assert page_admin.post("/limits/site", {"cpu_overcommit": "4"}).status_code == 204
    assert 'value="4' in page_admin.get("/limits/site").content.decode()


def test_labels_and_ratios_of_a_node(page_admin: Client, page_operator: Client, fake_node: Node) -> None:
    path = f"/limits/nodes/{fake_node.pk}"
    data = {"labels": "zone=a\ndisk=fast", "cpu_overcommit": "2"}
    assert page_operator.post(path, data, **HTMX).headers.get("HX-Refresh") is None
    assert page_admin.post(path, data, **HTMX).status_code == 204
    fake_node.refresh_from_db()
    assert fake_node.labels == {"zone": "a", "disk": "fast"}
    assert (fake_node.cpu_overcommit, fake_node.memory_overcommit) == (2, None)
    assert "zone=a" in page_operator.get(f"/nodes/{fake_node.pk}").content.decode()


def test_the_bars_follow_the_form(
    page_operator: Client, ask: Ask, admin: Actor, project: Project, fake_node: Node
) -> None:
    project_limits_set(admin, project.pk, {"max_memory_bytes": 4 * GIB})
    ask("web", memory=GIB)
    query = {"backend": "fake", "memory_mib": "2048", "cpu": ""}
    shown = page_operator.get("/limits/room", query, **HTMX).content.decode()
    assert "1 GiB + 2 GiB of 4 GiB, 1 GiB left" in shown and "node fake-1" in shown
    assert "data-over" not in shown
    shown = page_operator.get("/limits/room", {**query, "memory_mib": "4096"}, **HTMX).content.decode()
    assert "too much" in shown and "data-over" in shown
    for odd in ({"memory_mib": "nan"}, {"cpu": "\x00"}, {"node_labels": "zo"}, {"memory_mib": "9" * 40}):
        assert page_operator.get("/limits/room", {**query, **odd}, **HTMX).status_code == 200
    problem = page_operator.get("/limits/room", {**query, "node_labels": "zone=x"}, **HTMX)
    assert "bears all of" in problem.content.decode()


def test_a_form_names_project_and_labels(page_admin: Client, fake_node: Node, project: Project) -> None:
    Project.objects.create(name="team")
    data = {"backend": "fake", "name": "web", "image": "demo", "project": "team", "node_labels": "zone=x"}
    shown = page_admin.post("/instances/new", data)
    assert "bears all of" in shown.content.decode()
    Node.objects.filter(pk=fake_node.pk).update(labels={"zone": "x"})
    assert page_admin.post("/instances/new", data).status_code == 302
    assert Project.objects.get(name="team").instances.count() == 1


def test_members_see_what_their_project_may_use(
    page_operator: Client, ask: Ask, admin: Actor, project: Project
) -> None:
    project_limits_set(admin, project.pk, {"max_instances": 4})
    ask("web")
    shown = page_operator.get(f"/projects/{project.pk}").content.decode()
    assert "1 of 4" in shown and "limits/projects" not in shown
