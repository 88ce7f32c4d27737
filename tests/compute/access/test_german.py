"""Every page, fragment and refused form in English and in German: what is the same in both is data, or a word
that German writes so too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

import pytest
from babel.messages.pofile import read_po
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.urls import reverse

from compute.permissions import SITE_ADMIN
from compute.translations.build import catalogue_paths
from tests.compute.access.addresses import address
from tests.compute.access.ground import Ground
from tests.compute.access.happenings import happenings_plant
from tests.compute.access.page_forms import form_of
from tests.compute.access.permission_pages import pages
from tests.translations.markup import HUMAN_ATTRIBUTES
from tests.translations.test_marks import SAME

pytestmark = pytest.mark.django_db
# In <pre> stand logs: what an engine or a program wrote is data; tests/translations judges a worker's lines.
_SILENT = frozenset({"script", "style", "code", "pre", "kbd", "samp", "textarea"})
_VOID = frozenset(
    {"input", "br", "img", "hr", "meta", "link", "source", "wbr", "path", "line", "circle", "rect"}
)
_ATTRIBUTES = HUMAN_ATTRIBUTES | {"data-bulk-title", "data-bulk-text", "data-bulk-label", "data-said"}
# Names, paths, times and numbers: what has anything but letters in it.
_DATA = re.compile(r"\S*[\w/][-_./@:=][\w/]\S*|\S*[\d*]\S*|“[^”]*”|„[^“]*“")
_WORD = re.compile(r"[A-Za-zÀ-ÿ]{2,}")
# What a library says of a text that it cannot read stays in a sentence of ours as it was said.
_LIBRARIES = re.compile(r"Document is empty")
# In no German text, whoever wrote it.
_ENGLISH = re.compile(
    r"\b(?:the|is|of|and|not|with|are|its|for|must|cannot|from|which|you|this|by|on)\b", re.I
)


class _Texts(HTMLParser):
    """What is read of a page, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        marks = given.get("class", "").split()
        # The last: a cell or a field of a row in the admin.
        is_data = given.get("translate") == "no" or "name-text" in marks or "readonly" in marks
        is_data = is_data or (tag in ("td", "th") and any(mark.startswith("field-") for mark in marks))
        if (self._silent or is_data or tag in _SILENT) and tag not in _VOID:
            self._silent.append(tag)
            return
        if not is_data:
            self.found += [value for name, value in given.items() if name in _ATTRIBUTES]
            if tag == "input" and given.get("type") in ("submit", "button", "reset"):
                self.found.append(given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if self._silent and tag in self._silent:
            while self._silent.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.found.append(data)


def texts_of(answer: Any) -> list[str]:
    reader = _Texts()
    if answer.get("Content-Type", "").startswith(("text/html", "image/svg")):
        reader.feed(answer.content.decode())
    elif answer.get("Content-Type", "").startswith("application/json"):
        found = json.loads(answer.content)
        reader.found += [*map(str, found.get("errors", {}).values()), str(found.get("message", ""))]
    toast = json.loads(answer.get("HX-Trigger", "{}")).get("toast")
    if toast:
        reader.found.append(toast["text"])
    return [" ".join(text.split()) for text in reader.found if text.strip()]


@lru_cache
def _same() -> frozenset[str]:
    """What the catalogue says in German as in English."""
    found = set()
    for path in catalogue_paths():
        with path.open("rb") as file:
            for message in read_po(file, locale="de"):
                if isinstance(message.id, str) and message.id == message.string:
                    found.add(message.id.lower())
    return frozenset(found)


# Of this ground, and of what others named: users, images, engines, backends.
_NAMES = re.compile(
    r"\b(?:demo|target|wanted|viewer|operator|raw|qcow2|dir|bridge|local|nat|virtio|default|fake|Fake|Deutsch"
    r"|English|cell|nobody|Django|tcp|admin|manager|alice|SI|front|web|VMDK|VDI|ova|vmdk|vdi|VirtIO|SCSI|SATA|url"
    r"|Compute|True|False|Worker"
    r"|localRoots|libgo\.yaml|in|backups)\b"
)


def is_english(text: str) -> bool:
    """Of a text that is the same in both languages."""
    own = SAME.sub(" ", _DATA.sub(" ", text))
    if text.lower() in _same() or own.strip(" .,:;·×()").lower() in _same():
        return False
    words = [word for word in _WORD.findall(_NAMES.sub(" ", own)) if word.lower() not in _same()]
    return bool(words)


def english_left(english: list[str], german: list[str]) -> Iterator[str]:
    there = set(english)
    for text in dict.fromkeys(german):
        if text in there and is_english(text):
            yield text
        elif text not in there and _ENGLISH.search(_LIBRARIES.sub(" ", _DATA.sub(" ", text))):
            yield f"half of it: {text}"


# In the admin: a picture that Django names so, and values of a filter as they are kept.
_KEPT = frozenset({"Search", "image", "network", "volume", "pool"})


def _asked(client: Client, method: str, path: str, form: dict[str, str], language: str) -> Any:
    with transaction.atomic():
        answer = getattr(client, method.lower())(path, form, headers={"Accept-Language": language})
        transaction.set_rollback(True)
    return answer


def test_nothing_of_the_pages_is_english_in_german(
    ground: Ground, uids: dict[str, dict[str, str]], clients: dict[str, Client]
) -> None:
    client, side, left, seen = clients[SITE_ADMIN.name], ground.own, {}, 0
    with transaction.atomic():
        happenings_plant(side)
        for page in pages():
            if page.kind == "public":
                continue
            place = address(page, uids[side.project.name])
            forms = [form_of(page, {**ground.hosts, **side.ids}, side.project.name)]
            # As it is sent by who fills in nothing.
            forms += [{}] if page.method == "POST" else []
            for form in forms:
                both = [texts_of(_asked(client, page.method, place, form, each)) for each in ("en", "de")]
                seen += len(both[1])
                for text in english_left(*both):
                    left.setdefault(text, str(page))
        transaction.set_rollback(True)
    assert seen > 10_000
    assert not left, "\n".join(f"{page}: {text}" for text, page in left.items())


def test_nothing_of_the_admin_is_english_in_german(ground: Ground, clients: dict[str, Client]) -> None:
    """But the rows, which are shown as they are kept."""
    client, left = clients[SITE_ADMIN.name], {}
    with transaction.atomic():
        happenings_plant(ground.own)
        for model in [None, *(model for model in admin.site._registry)]:
            rows = [str(row) for row in model._default_manager.all()] if model else []
            for place in _admin_places(model):
                both = [texts_of(_asked(client, "GET", place, {}, each)) for each in ("en", "de")]
                for text in english_left(*both):
                    if text not in _KEPT and not any(row[:30] in text for row in rows):
                        left.setdefault(text, place)
        transaction.set_rollback(True)
    assert not left, "\n".join(f"{place}: {text}" for text, place in left.items())


def _admin_places(model: Any) -> Iterator[str]:
    if model is None:
        yield reverse("admin:index")
        return
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    yield reverse(f"{name}_changelist")
    yield reverse(f"{name}_add")
    row = model._default_manager.first()
    if row is not None:
        yield reverse(f"{name}_change", args=[row.pk])
