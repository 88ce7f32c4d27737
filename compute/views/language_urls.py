"""The language of the pages."""

from __future__ import annotations

from django.urls import path

from compute.views import language

urlpatterns = [
    path("language", language.language_choose, name="language"),
    path("words.js", language.words, name="words"),
    path("told", language.told, name="told"),
]
