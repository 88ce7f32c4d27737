"""One colour and one word for a state, told in one place; the page of components shows all of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse

from compute import states
from compute.actor import Actor
from compute.models import User
from compute.states import COLOURED, Word, colour_of
from compute.views.design import design
from tests.live import ROOT

# A condition on a state, and behind it a colour by its name.
_SECOND = re.compile(
    r"{% (?:el)?if [^%]*\b(?:state|status|health|result|outcome|severity)\b[^%]*%}\s*[^{<>]*"
    r"\b(?:bg|text|status|badge|alert|text-bg)-(?:blue|azure|red|orange|yellow|green|lime|danger|warning|success)\b"
)
# Names of colours in Python below the pages: only where states are defined, and for how full something is.
_COLOUR = re.compile(r'"(?:blue|azure|red|orange|yellow|green|lime)"')
_PYTHON = {f"compute/views/{name}.py" for name in ("instances", "instance_look", "dashboard", "design")}


def test_every_state_that_has_a_colour_can_be_asked_for_by_its_kind() -> None:
    having = {
        each
        for each in vars(states).values()
        if isinstance(each, type) and issubclass(each, Word) and hasattr(each, "colour")
    }
    assert having == set(COLOURED.values())
    for kind, words in COLOURED.items():
        for word in words:
            assert re.fullmatch(r"[a-z]+", colour_of(kind, word.value))
        assert colour_of(kind, "never heard of") == "secondary"


def test_no_template_maps_a_state_to_a_colour_again() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {hit[0][:90]}"
        for path in sorted((ROOT / "templates").rglob("*.html"))
        for hit in _SECOND.finditer(path.read_text())
    ]
    assert found == []
    assert _SECOND.search('{% if row.health == "healthy" %}text-green{% endif %}'), "it would be found"


def test_no_page_of_the_unified_layer_names_a_colour_but_those_that_say_how_full() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("views", "selectors", "services")
        for path in (ROOT / "compute" / folder).rglob("*.py")
        if _COLOUR.search(path.read_text())
    }
    assert found <= _PYTHON, found - _PYTHON


@pytest.mark.django_db
def test_the_page_of_components_shows_every_state_and_is_not_there_in_production(
    admin: Actor, client: Client, settings: Any, rf: RequestFactory
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    client.force_login(User.objects.get(pk=admin.user_id))
    assert client.get("/design/").status_code == 404
    request = rf.get("/design/")
    request.user = User.objects.get(pk=admin.user_id)
    request.session = client.session
    page = design(request).content.decode()
    for kind, words in COLOURED.items():
        line = page[page.index(f'data-kind="{kind}"') :].partition("</tr>")[0]
        for word in words:
            assert f'bg-{colour_of(kind, word.value)}-lt" data-word="{word}"' in line
    for part in ('class="lost', "level-error", 'class="add"', "data-confirm", "too much", "empty-header"):
        assert part in page, part
    assert page.count("<tr id=") == 9 and reverse("instances") in page
