"""A part of the site is found, not listed: its ``*_urls`` modules bring its routes and its menu entries.

So two parts that come at the same time touch no common file.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TypeAlias

from django.urls import URLPattern, URLResolver

Routes: TypeAlias = list[URLPattern | URLResolver]


def routes_of(package: str) -> Routes:
    """``urlpatterns`` of every module of ``package`` whose name ends in ``_urls``, by the modules' names."""
    names = sorted(each.name for each in iter_modules(import_module(package).__path__))
    found: Routes = []
    for name in names:
        if name.endswith("_urls"):
            found += import_module(f"{package}.{name}").urlpatterns
    return found
