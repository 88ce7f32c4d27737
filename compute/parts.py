"""A part of the site is found, not listed: its ``*_urls`` modules bring its routes and its menu entries.

So two parts that come at the same time touch no common file.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TypeAlias

from django.urls import URLPattern, URLResolver, include, path
from django.urls.resolvers import RoutePattern

Routes: TypeAlias = list[URLPattern | URLResolver]


def routes_of(package: str) -> Routes:
    """``urlpatterns`` of every module of ``package`` whose name ends in ``_urls``, by the modules' names."""
    names = sorted(each.name for each in iter_modules(import_module(package).__path__))
    found: Routes = []
    for name in names:
        if name.endswith("_urls"):
            found += import_module(f"{package}.{name}").urlpatterns
    return found


def by_first_word(routes: Routes) -> Routes:
    """The same routes, those that begin with the same word behind one door: an address is compared with the
    words first, not with some two hundred routes. What begins with no word comes last."""
    doors: dict[str, Routes] = {}
    found: Routes = []
    for route in routes:
        word, _, rest = str(route.pattern).partition("/")
        if not rest or not word.replace("-", "").isalnum() or not isinstance(route, URLPattern):
            found.append(route)
            continue
        if word not in doors:
            doors[word] = []
            found.append(path(f"{word}/", include(doors[word])))
        pattern = RoutePattern(rest, name=route.name, is_endpoint=True)
        doors[word].append(URLPattern(pattern, route.callback, route.default_args, route.name))
    return found
