"""Templates in pieces: HTML, template tags, variables and text, so that a test can tell what people read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_QUOTED = r'"(?:\{\{.*?\}\}|\{%.*?%\}|[^"])*"|' + r"'(?:\{\{.*?\}\}|\{%.*?%\}|[^'])*'"
_PIECE = re.compile(
    r"(?P<comment>\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}|<!--.*?-->)"
    r"|(?P<block>\{%.*?%\})"
    r"|(?P<var>\{\{.*?\}\})"
    rf"|(?P<html></?[a-zA-Z!](?:\{{\{{.*?\}}\}}|\{{%.*?%\}}|{_QUOTED}|[^<>\"'])*>)"
    r"|(?P<text>(?:(?!\{[{%#]|</?[a-zA-Z!]).)+|.)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(rf"(?P<name>[a-zA-Z][\w-]*)=(?P<value>{_QUOTED})", re.DOTALL)
# What is read aloud, shown on pointing, or asked before something is done.
HUMAN_ATTRIBUTES = frozenset(
    {"title", "aria-label", "placeholder", "alt", "label", "hx-confirm", "data-confirm"}
)


@dataclass(frozen=True)
class Piece:
    """``kind`` is ``comment``, ``block`` ({% %}), ``var`` ({{ }}), ``html`` or ``text``."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """The name of an HTML element (``/a`` for its end) or of a template tag."""
        match = re.match(r"\{%\s*(\w+)|<(/?[\w-]+|!)", self.text)
        return next((part for part in match.groups() if part), "").lower() if match else ""

    def attributes(self) -> Iterator[tuple[str, str, int]]:
        """Name, value without its quotes, and where the value begins in the source."""
        if self.kind == "html":
            for match in _ATTRIBUTE.finditer(self.text):
                yield match["name"].lower(), match["value"][1:-1], self.start + match.start("value") + 1


def pieces_of(source: str) -> list[Piece]:
    return [Piece(str(m.lastgroup), m.group(), m.start()) for m in _PIECE.finditer(source)]
