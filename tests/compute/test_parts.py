"""Routes behind doors are found as they were without."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, URLResolver, path, re_path
from django.urls.resolvers import RegexPattern

from compute.parts import Routes, by_first_word


def _view(name: str) -> Routes:
    def view(request: HttpRequest, **given: str) -> HttpResponse:
        return HttpResponse(name)

    return [path(name, view, name=name)]


_ROUTES: Routes = [
    *_view("things/fixed"),
    *_view("other"),
    *_view("things"),
    *_view("other/<int:number>"),
    *_view("things/<str:thing>"),
    *_view("things/<str:thing>/do"),
    *_view("two-words/x"),
]
_LAST = re_path("^.*$", lambda request: HttpResponse("nothing"), name="nowhere")


def _resolver(routes: Routes) -> URLResolver:
    return URLResolver(RegexPattern(r"^"), routes)


@pytest.mark.parametrize(
    "address",
    "things things/ things/fixed things/a things/a/do things/fixed/do thingsx thing other other/1 other/x "
    "two-words/x two-words x/y /".split(),
)
def test_each_address_finds_what_it_found(address: str) -> None:
    """The same view, by the same name and route, with the same values."""
    before, now = (_resolver(routes).resolve(address) for routes in (_all(), by_first_word(_all())))
    assert (before.func, before.url_name, before.route) == (now.func, now.url_name, now.route)
    assert before.kwargs == now.kwargs


def _all() -> Routes:
    return [*_ROUTES, _LAST]


def test_what_is_nowhere_is_not_found() -> None:
    with pytest.raises(Resolver404):
        _resolver(by_first_word(_ROUTES)).resolve("things/a/b/c")


def test_those_of_one_word_stand_behind_one_door() -> None:
    shown = [str(each.pattern) for each in by_first_word(_all())]
    assert shown == ["things/", "other", "things", "other/", "two-words/", "^.*$"]
