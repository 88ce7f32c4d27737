"""What a few typed words mean: only what this person sees and may do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compute.actor import Actor
from compute.models import Instance
from compute.views.palette import choices_for

pytestmark = pytest.mark.django_db


def _labels(actor: Actor, words: str) -> list[tuple[str, str]]:
    return [(choice.label, choice.hint) for choice in choices_for(actor, words)]


def test_what_is_called_so_comes_first_with_what_can_be_done_to_it(
    admin: Actor, make: Callable[..., Instance]
) -> None:
    for name in ("a-web", "web", "web-2"):
        make(name)
    labels = [label for label, _ in _labels(admin, "web")]
    assert labels[:3] == ["web", "web-2", "a-web"]
    assert "Stop" in labels and "Overview" in labels


def test_a_verb_before_a_name_is_what_enter_does(admin: Actor, make: Callable[..., Instance]) -> None:
    web = make("web")
    first = choices_for(admin, "stop we")[0]
    assert (first.label, first.hint, first.is_change) == ("Stop", "web", True)
    assert first.url == f"/instances/{web.pk}/do/stop"
    assert not choices_for(admin, "events web")[0].is_change, "a tab is opened, not sent"


def test_a_viewer_is_offered_no_change(viewer: Actor, make: Callable[..., Instance]) -> None:
    make("web")
    assert choices_for(viewer, "web")
    assert not any(choice.is_change for words in ("web", "stop web") for choice in choices_for(viewer, words))


def test_who_is_no_member_finds_nothing(stranger: Actor, make: Callable[..., Instance]) -> None:
    make("web")
    assert choices_for(stranger, "web") == []


def test_nodes_are_found(admin: Actor, make: Callable[..., Instance]) -> None:
    node = make("web").node
    assert (node.name, f"node, {'online'}") in _labels(admin, node.name)


@pytest.mark.parametrize("words", ["", "   ", "%", "_", "\x00", "stop ", "é" * 300, "' OR 1=1 --"])
def test_odd_words_are_answered(admin: Actor, make: Callable[..., Instance], words: str) -> None:
    make("web")
    assert all(choice.url.startswith("/") for choice in choices_for(admin, words))


def test_what_no_menu_has_is_found_by_whoever_may(admin: Actor, viewer: Actor) -> None:
    assert ("New container", "page") in _labels(admin, "new con")
    assert [choice.url for choice in choices_for(admin, "new stack")] == ["/docker/stacks/new"]
    assert _labels(viewer, "new con") == []
    assert ("Network map", "page") in _labels(viewer, "map")
