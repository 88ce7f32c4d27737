"""Each language says all that is marked, and says it whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from django.conf import settings

from compute.translations.build import DOMAINS, catalogue_paths, catalogues_build
from compute.translations.extract import messages_of, template_messages
from compute.wording import words_known

LANGUAGES = sorted({path.parent.parent.name for path in catalogue_paths()})
EACH = [(language, domain) for language in LANGUAGES for domain in DOMAINS]
# What is filled in, and the elements around words.
_KEPT = re.compile(r"%\(\w+\)[sd]|\{\w*\}|</?\w+[^>]*>|%%")
# Pieces of a sentence that somebody glues: they cannot be turned round in another language.
_GLUED = re.compile(r"^[\s,.;:)]|[\s,(]$")


def _written(language: str, domain: str) -> Catalog:
    path = next(p for p in catalogue_paths() if p.stem == domain and p.parent.parent.name == language)
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def _keys(catalogue: Catalog) -> set[tuple[str | None, str]]:
    return {(message.context, _texts(message.id)[0]) for message in catalogue if message.id}


def _texts(text: object) -> tuple[str, ...]:
    return tuple(map(str, text)) if isinstance(text, (tuple, list)) else (str(text or ""),)


def _messages(catalogue: Catalog) -> Iterator[Message]:
    return (message for message in catalogue if message.id)


def test_there_is_another_language_and_it_is_offered() -> None:
    assert LANGUAGES == sorted(language for language, _ in settings.LANGUAGES if language != "en")
    assert "de" in LANGUAGES


@pytest.mark.parametrize(("language", "domain"), EACH)
def test_a_catalogue_has_what_is_marked_and_nothing_else(language: str, domain: str) -> None:
    marked, written = _keys(messages_of(domain)), _keys(_written(language, domain))
    assert not sorted(map(str, marked - written)), "manage.py translations --update, then translate them"
    assert not sorted(map(str, written - marked)), "nobody asks for these: manage.py translations --update"


@pytest.mark.parametrize(("language", "domain"), EACH)
def test_everything_is_translated_and_sure(language: str, domain: str) -> None:
    catalogue = _written(language, domain)
    for message in _messages(catalogue):
        texts = _texts(message.string)
        assert all(text.strip() for text in texts), message.id
        assert not message.fuzzy, message.id
        assert len(texts) == (catalogue.num_plurals if isinstance(message.id, (tuple, list)) else 1), (
            message.id
        )
    assert not catalogue.obsolete


@pytest.mark.parametrize(("language", "domain"), EACH)
def test_what_is_filled_in_is_the_same(language: str, domain: str) -> None:
    for message in _messages(_written(language, domain)):
        wanted = [sorted(_KEPT.findall(text)) for text in _texts(message.id)]
        for text in _texts(message.string):
            assert sorted(_KEPT.findall(text)) in wanted, (message.id, text)


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_sentence_is_glued_from_parts(domain: str) -> None:
    for message in _messages(messages_of(domain)):
        for text in _texts(message.id):
            assert not _GLUED.search(text), f"{text!r}: mark the whole sentence"


def test_templates_are_read_as_the_engine_reads_them() -> None:
    source = """{% translate "100% sure" %}{% blocktranslate trimmed count n=rows|length %}
        {{ n }} row
    {% plural %}{{ n }} rows{% endblocktranslate %}{% include "compute/_room.html" with x=_("So") %}"""
    assert list(template_messages(source)) == [
        ("100%% sure", None),
        (("%(n)s row", "%(n)s rows"), None),
        ("So", None),
    ]


def test_a_new_state_asks_for_its_word() -> None:
    assert {"running", "taking a snapshot", "node unreachable", "viewer", "create"} <= words_known()


def test_what_is_built_is_built_once() -> None:
    catalogues_build()
    assert catalogues_build() == []
