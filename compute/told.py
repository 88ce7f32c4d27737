"""What was written down in English (errors, steps, complaints), said in the reader's language.

The API, the logs and the rows of the database keep these texts as they were told. The catalogues know each of
them with a name for what is filled in (``translations/told.py`` finds them in the code), so a text that is to
be shown is read again by the catalogue. What no catalogue knows stays as it was told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from django.utils.formats import get_format
from django.utils.translation import get_language, gettext_lazy, pgettext
from django.utils.translation.trans_real import translation

from compute.states import action_words

CONTEXT = "told"
# Tells a word of a table from the same word in a sentence.
WORD = "word"
# Filled in with words of ours, not with names.
_WORDS = re.compile(r"(state|status|kind|verb|action|type|word|amount|step|noun)\d*")
# Measured: “93.4 %”.
_AMOUNTS = re.compile(r"(measured|bound|free|used|asked|maximum)\d*")
# Beside them something else may end like a sentence of its own.
MEASURED = re.compile(r"measured|bound")
# Names have no colon before a space: what has one is a longer text that ends alike.
_NAMES = re.compile(r"name\d*")
_POINT = re.compile(r"(?<=\d)\.(?=\d)")
_PIECE = re.compile(r"%\((\w+)\)s|(%%)")
_FIELD = re.compile(r"([\w.\[\]-]+): (.+)", re.DOTALL)
_SENTENCE_ENDS = re.compile(r"(?<=[.!?]) (?=\S)")


def later(text: str) -> str:
    """A text of a table that is made before anybody reads it: said in the reader's language when it is shown.
    For ``json`` it must be made a ``str`` first."""
    return cast(str, gettext_lazy(text))


@dataclass(frozen=True)
class _Pattern:
    """``longest``: the longest of the texts that stand in every such message."""

    longest: str
    regex: re.Pattern[str]
    said: str


def told_text(message: str) -> str:
    """“There is no node “web”.” as “Es gibt keinen Knoten „web“.”."""
    language = get_language()
    return _said(language, message) if message and language else message


def word_told(word: str) -> str:
    """A word of a table, or what stands for one and holds more, in the reader's language."""
    text = action_words(word)
    said = pgettext(WORD, text) if text else ""
    return told_text(word) if said == text and " " in word else said


@lru_cache(maxsize=4096)
def _said(language: str, message: str) -> str:
    whole, patterns = _known(language)
    if not patterns:
        return message
    if message in whole:
        return whole[message]
    for pattern in patterns:
        match = pattern.regex.fullmatch(message) if pattern.longest in message else None
        if match:
            return pattern.said % {
                name: _filled(language, name, text) for name, text in match.groupdict().items()
            }
    field = _FIELD.fullmatch(message)
    if field and (said := _said(language, field[2])) != field[2]:
        return f"{field[1]}: {said}"
    return _sentences(language, message)


def _sentences(language: str, message: str) -> str:
    """Of several texts behind one another; as it was told unless each of them is known."""
    parts = _SENTENCE_ENDS.split(message)
    said = [_said(language, part) for part in parts] if len(parts) > 1 else parts
    return message if any(new == old for new, old in zip(said, parts, strict=True)) else " ".join(said)


def _filled(language: str, name: str, text: str) -> str:
    if _WORDS.fullmatch(name):
        said = pgettext(WORD, action_words(text)) if text else ""
        if said != action_words(text):
            return said
    if _AMOUNTS.fullmatch(name):
        return _POINT.sub(str(get_format("DECIMAL_SEPARATOR", language)), text)
    # A reason is often a text of ours itself; names have no spaces.
    return _said(language, text) if " " in text.strip() else text


@lru_cache(maxsize=8)
def _known(language: str) -> tuple[dict[str, str], list[_Pattern]]:
    """Texts without and with something filled in, of the latter those that say most first."""
    found: dict[str, str] = {}
    # The catalogue itself, as Django's view of the words for scripts reads it: gettext has no list of them.
    for key, said in translation(language)._catalog.items():  # type: ignore[attr-defined]
        if isinstance(key, str) and key.startswith(f"{CONTEXT}\x04"):
            found[key.partition("\x04")[2]] = said
    whole = {
        text.replace("%%", "%"): said.replace("%%", "%") for text, said in found.items() if "%(" not in text
    }
    patterns = [(text, said) for text, said in found.items() if "%(" in text]
    patterns.sort(key=lambda pair: -len(_PIECE.sub("", pair[0])))
    return whole, [_pattern(text, said) for text, said in patterns]


def _hole(name: str) -> str:
    if _NAMES.fullmatch(name):
        return "(?:(?!: ).)*?"
    return r"[\d.,]+(?: \D{1,7}?)?" if MEASURED.fullmatch(name) else ".*?"


def _pattern(text: str, said: str) -> _Pattern:
    regex, place, literals = "", 0, [""]
    for piece in _PIECE.finditer(text):
        literal = text[place : piece.start()] + ("%" if piece[2] else "")
        regex += re.escape(literal) + (f"(?P<{piece[1]}>{_hole(piece[1])})" if piece[1] else "")
        literals.append(literal)
        place = piece.end()
    literals.append(text[place:])
    return _Pattern(max(literals, key=len), re.compile(regex + re.escape(text[place:]), re.DOTALL), said)
