"""The list of instances: what it finds, how it groups, and what people keep of it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from compute.actor import Actor
from compute.errors import InvalidInput, NotFound
from compute.models import AuditEvent, Instance, SavedView, User
from compute.selectors.instances import (
    InstanceFilter,
    instances_matching,
    instances_page,
    label_keys,
    view_counts,
)
from compute.selectors.saved_views import columns_of, views_of
from compute.services.saved_views import PER_PAGE_MAX, columns_set, view_delete, view_save
from compute.views.instance_table import COLUMN_NAMES
from tests.attacks.catalogue import attack

pytestmark = pytest.mark.django_db


def _change(row: Instance, **values: Any) -> None:
    Instance.objects.filter(pk=row.pk).update(**values)


def _names(actor: Actor, **wanted: Any) -> list[str]:
    return [row["name"] for row in instances_page(actor, InstanceFilter(**wanted)).items]


@pytest.fixture
def pages(client: Client, settings: Any) -> Callable[[Actor], Client]:
    def of(actor: Actor) -> Client:
        settings.ALLOWED_HOSTS = ["testserver"]
        client.force_login(User.objects.get(pk=actor.user_id))
        return client

    return of


def test_every_word_is_searched_in_names_addresses_images_and_labels(
    make: Callable[..., Instance], admin: Actor
) -> None:
    web, data = make("web"), make("data")
    _change(web, engine_labels={"team": "Shop"}, networks=[{"network": "lan", "ip_address": "10.0.0.7"}])
    _change(data, labels={"tier": "gold", "größe": "XL"}, image="postgres:16", networks=[])
    for text, found in {
        "shop": ["web"],
        "team=shop": ["web"],
        "10.0.0.7": ["web"],
        "POSTGRES": ["data"],
        "gold postgres": ["data"],
        "gold 10.0.0.7": [],
        "größe": ["data"],
        "nobody": [],
        "%": [],
    }.items():
        assert _names(admin, q=text) == found, text
        assert [row.name for row in instances_matching(admin, InstanceFilter(q=text), 10)] == found


@attack("S77", "guessing the secret in a label by searching and grouping", refused="neither finds it")
def test_the_secret_in_a_label_can_neither_be_searched_nor_grouped_by(
    make: Callable[..., Instance], admin: Actor
) -> None:
    _change(make("web"), engine_labels={"api_key": "hunter2"})
    assert _names(admin, q="hunter") == []
    assert _names(admin, q="api_key") == ["web"]
    with pytest.raises(InvalidInput):
        _names(admin, group="label:api_key")


def test_groups_by_label_say_how_many_they_have_and_the_rest_comes_last(
    make: Callable[..., Instance], admin: Actor
) -> None:
    for name, team in {"a": "zeta", "b": "", "c": "alpha", "d": "zeta"}.items():
        _change(make(name), engine_labels={"team": team} if team else {})
    rows = instances_page(admin, InstanceFilter(group="label:team", page_size=3)).items
    assert [(row["group"], row["group_total"], row["name"]) for row in rows] == [
        ("alpha", 1, "c"),
        ("zeta", 2, "a"),
        ("zeta", 2, "d"),
    ]
    assert label_keys(admin)[0] == "team"
    with pytest.raises(InvalidInput):
        _names(admin, group="label:")


def test_attention_and_mine_narrow_the_list_its_counts_and_what_bulk_takes(
    make: Callable[..., Instance], admin: Actor, operator: Actor
) -> None:
    sick, broken, well = make("sick"), make("broken"), make("well")
    _change(sick, health="unhealthy", created_by=None)
    _change(broken, state="error", created_by=operator.user_id)
    _change(well, created_by=operator.user_id)
    assert _names(admin, attention=True) == ["broken", "sick"]
    assert _names(operator, mine=True) == ["broken", "well"]
    assert [
        row.name for row in instances_matching(operator, InstanceFilter(mine=True, attention=True), 9)
    ] == ["broken"]
    counts = view_counts(operator)
    assert (counts["all"], counts["attention"], counts["mine"], counts["error"]) == (3, 2, 2, 1)
    well.node.is_reachable = False
    well.node.save()
    assert len(_names(admin, attention=True)) == 3, "what is out of reach is looked at, too"


def test_the_bar_acts_on_what_is_shown_and_no_more(
    make: Callable[..., Instance], admin: Actor, pages: Callable[[Actor], Client]
) -> None:
    _change(make("web"), engine_labels={"team": "shop"})
    query = "type=container&attention=1&mine=1&label=team%3Dshop&q=web&node=fake-1&state=running"
    page = pages(admin).get(f"/instances?{query}").content.decode()
    told = re.search(r'data-bulk-filter="([^"]*)"', page)
    assert told is not None
    assert json.loads(html.unescape(told[1])) == {
        "type": "container",
        "attention": True,
        "mine": True,
        "labels": {"team": "shop"},
        "q": "web",
        "node": "fake-1",
        "state": "running",
    }


def test_a_view_keeps_the_query_is_shown_to_its_owner_alone_and_goes(
    make: Callable[..., Instance], admin: Actor, operator: Actor, pages: Callable[[Actor], Client]
) -> None:
    make("web")
    mine = pages(admin)
    answer = mine.post(
        "/instances/views", {"name": " My   shop ", "query": "?q=web&page=7&evil=1&state=running&q="}
    )
    row = SavedView.objects.get()
    assert (row.name, row.query) == ("My shop", "q=web&state=running")
    assert answer["Location"] == f"/instances?q=web&state=running&view={row.pk}"
    page = mine.get(answer["Location"]).content.decode()
    assert re.search(rf'data-own="{row.pk}" aria-current="page">My shop<', page)
    changed = mine.get(f"/instances?q=other&view={row.pk}").content.decode()
    assert "Changed since it was saved" in changed
    assert "My shop" not in pages(operator).get("/instances").content.decode()
    assert pages(operator).post(f"/instances/views/{row.pk}/remove").status_code == 404
    assert pages(admin).post(f"/instances/views/{row.pk}/remove").status_code == 302
    assert not SavedView.objects.exists()
    assert set(AuditEvent.objects.values_list("action", flat=True)) >= {"view.save", "view.delete"}


@attack("S82", "views without end", refused="refused over the bound")
def test_views_are_bounded_and_the_same_name_is_the_same_view(operator: Actor) -> None:
    for name in ("", " ", "x" * 41, "a\x00b"):
        with pytest.raises(InvalidInput):
            view_save(operator, "instances", name, "")
    with pytest.raises(InvalidInput):
        view_save(operator, "instances", "long", "q=" + "x" * 1000)
    first = view_save(operator, "instances", "one", "state=running")
    assert view_save(operator, "instances", "one", "state=stopped").pk == first.pk
    for number in range(1, PER_PAGE_MAX):
        view_save(operator, "instances", f"view {number}", "")
    with pytest.raises(InvalidInput):
        view_save(operator, "instances", "one too many", "")
    assert len(views_of(operator, "instances")) == PER_PAGE_MAX
    with pytest.raises(NotFound):
        view_delete(operator, "instances", 10**9)


def test_columns_are_remembered_for_each_person(
    make: Callable[..., Instance], admin: Actor, operator: Actor, pages: Callable[[Actor], Client]
) -> None:
    _change(make("web"), engine_labels={"team": "shop"})
    mine = pages(admin)
    assert "team=shop" not in mine.get("/instances").content.decode()
    assert mine.post("/instances/columns", {"columns": ["labels", "image"]}).status_code == 302
    page = mine.get("/instances").content.decode()
    assert "team=shop" in page and "head-image" in page and "head-cpu" not in page
    assert mine.post("/instances/columns", {"columns": ["evil"]}).status_code == 400
    assert columns_of(operator, "instances") is None
    columns_set(operator, "instances", [], COLUMN_NAMES)
    assert "head-" not in pages(operator).get("/instances").content.decode()


def test_odd_addresses_are_answered(
    make: Callable[..., Instance], admin: Actor, pages: Callable[[Actor], Client]
) -> None:
    make("web")
    mine = pages(admin)
    for query, status in {
        "page=0": 200,
        "page=999": 200,
        "page=9999999": 200,
        "size=7&view=nobody": 200,
        "q=%00": 200,
        "q=" + "x" * 5000: 200,
        "label=": 200,
        "label=shop": 400,
        "label=%3Dx": 400,
        "group=label:%27%22%00": 200,
        "sort=evil": 400,
        "state=evil": 400,
        "type=evil": 400,
    }.items():
        assert mine.get(f"/instances?{query}").status_code == status, query[:40]
