"""What people read in templates is marked for translation, as whole sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import ROOT
from tests.translations.markup import HUMAN_ATTRIBUTES, Piece, pieces_of

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
# Files that no reader of a language sees.
UNREAD = {"compute/design.html": "shows components to developers, with the development settings only"}
# Names and words that are the same in every language; each is a product, a unit or what a machine reads.
SAME = re.compile(
    r"\b(?:LibGo|Docker(?:file)?|Podman|KVM|CPU|API|UEFI|BIOS|UUID|DHCP|MAC|IPv6|ISO|TPM|SHA-256|Swarm|Cgroups"
    r"|CSV|JSON(?: Lines)?|OVA|S3|SSH|NIC|UTC|GiB|MiB|KiB|TiB|vCPU|stdout|stderr|libgo|virtio|scsi|sata"
    r"|Ctrl(?:-Alt-Del|\+S)?|Entrypoint|Amazon|shop|db|TAG|BEGIN (?:PRIVATE KEY|CERTIFICATE))\b"
    r"|has-foot|Linux or BSD|Authorization: Token|before-upgrade|[\w.-]+/app|\bapp\b|/main\b|&#?\w+;"
    # Addresses, paths and examples as a machine takes them.
    r"|FROM libgo/demo.*|\S*(?:://|/|\.example\.)\S*|\bhost-2\b|nginx:\S+|registry\.\S+"
)
_WORD = re.compile(r"[A-Za-zÀ-ÿ]{2,}")
# Their text is code, or the reader's own.
_SILENT = frozenset({"script", "style", "code", "pre", "kbd", "samp", "textarea"})
_BEGIN, _END = ("blocktranslate", "blocktrans"), ("endblocktranslate", "endblocktrans")
# A string in an argument that people read: {% include "…" with title="Usage" %}, {{ name|default:"nobody" }}
_ARGUMENT = re.compile(r"""(?:\s(?!from=)\w+=|\|default(?:_if_none)?:)"([^"]*)\"""")


def _is_read(text: str) -> bool:
    return bool(_WORD.search(SAME.sub("", text)))


def unmarked(source: str) -> Iterator[str]:
    """Texts, human attributes and arguments of tags that people read and nobody marked."""
    silent, in_mark = 0, False
    for piece in pieces_of(source):
        if piece.word in _BEGIN + _END and piece.kind == "block":
            in_mark = piece.word in _BEGIN
        elif in_mark:
            continue
        elif piece.kind == "html":
            silent = max(0, silent + (piece.word in _SILENT) - (piece.word[1:] in _SILENT))
            yield from _attributes(piece)
        elif piece.kind == "text" and not silent and _is_read(piece.text):
            yield " ".join(piece.text.split())
        elif piece.kind in ("block", "var"):
            yield from (text for text in _ARGUMENT.findall(piece.text) if _is_sentence(text))


def _attributes(piece: Piece) -> Iterator[str]:
    for name, value, _ in piece.attributes():
        # What must be typed to confirm is a name.
        if name not in HUMAN_ATTRIBUTES - {"data-confirm"}:
            continue
        in_mark = False
        for part in pieces_of(value):
            if part.kind == "block":
                in_mark = part.word in _BEGIN or (in_mark and part.word not in _END)
            elif part.kind == "text" and not in_mark and _is_read(part.text):
                yield f"{name}={part.text}"


def _is_sentence(text: str) -> bool:
    """What is written for machines (ids, classes, words of a table) has no capital and no space."""
    return bool(re.match(r"[A-Z][a-z]", text) or " " in text.strip()) and _is_read(text) and "=" not in text


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_every_text_of_a_template_is_marked(path: Path) -> None:
    if str(path.relative_to(ROOT / "templates")) in UNREAD:
        return
    assert list(unmarked(path.read_text())) == [], "wrap it in {% translate %} or {% blocktranslate %}"


@pytest.mark.parametrize(
    "source",
    [
        "<p>Hello there</p>",
        '<button aria-label="Close it"></button>',
        '<input placeholder="{{ name }} of {% if x %}yours{% endif %}">',
        '{% include "x.html" with title="All of it" %}',
        '{{ name|default:"Nobody here" }}',
        "<p>{% translate 'One' %} and two</p>",
        '<a title="{{ "x"|upper }} of <b>">{{ y }}</a>',
    ],
)
def test_what_is_not_marked_is_found(source: str) -> None:
    assert list(unmarked(source))


@pytest.mark.parametrize(
    "source",
    [
        "<p>{% translate 'Hello' %} <code>docker run</code></p>",
        '<p title="{% blocktranslate trimmed %}Of {{ name }}{% endblocktranslate %}">{{ name }} · 12 GiB</p>',
        '{% include "x.html" with title=_("All") id="some-id" %}<script>var plain = "text";</script>',
        "{# a note #}<div class='a b'>LibGo</div>",
    ],
)
def test_what_is_marked_or_for_machines_is_left_alone(source: str) -> None:
    assert list(unmarked(source)) == []
