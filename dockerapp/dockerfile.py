"""What a Dockerfile asks for that reaches outside: images of registries, files from the network.

Engines differ in how they join lines (a comment inside a continued line), so a file is read in each
way, and what any of them finds counts. What cannot be read for certain is refused, not guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compute.errors import InvalidInput

_ESCAPE = re.compile(r"#\s*escape\s*=\s*([`\\])\s*", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#\s*[a-z][a-z0-9]*\s*=.*", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::-([^${}]*))?\})")
_REMOTE = ("http://", "https://", "ftp://", "git@", "git://", "ssh://")
# What the builder takes for the space behind an instruction, and around a line (Go's unicode.IsSpace): Python
# has other opinions.
_SPACE = re.compile(r"[ \t\v\f\r]+")
_AROUND = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
# Words of a source that the builder would change before it uses them.
_REWRITTEN = re.compile(r"[$\"'\\`]")
SIZE_MAX = 512 * 1024


@dataclass(frozen=True)
class Asked:
    """``images`` come from registries unless the node has them; ``remote`` is what ``ADD`` would fetch."""

    images: frozenset[str]
    remote: frozenset[str]


def dockerfile_read(text: str, build_args: Mapping[str, str]) -> Asked:
    """Raises ``InvalidInput`` for ``dockerfile`` when an image's name hangs on what is not known."""
    images: set[str] = set()
    remote: set[str] = set()
    for indented_comments in (True, False):
        reader = _Reader(dict(build_args))
        for word, rest in _instructions(text, indented_comments=indented_comments):
            reader.take(word, rest)
        images |= reader.images
        remote |= reader.remote
    return Asked(frozenset(images), frozenset(remote))


class _Reader:
    def __init__(self, build_args: dict[str, str]) -> None:
        self._given = build_args
        self._args: dict[str, str] = {}
        self._stages: set[str] = set()
        self._is_before_stages = True
        self.images: set[str] = set()
        self.remote: set[str] = set()

    def take(self, word: str, rest: str) -> None:
        if word == "ONBUILD":
            inner = rest.split(None, 1)
            if inner:
                self.take(inner[0].upper(), inner[1] if len(inner) > 1 else "")
        elif word == "ARG" and self._is_before_stages:
            for part in rest.split():
                name, _, default = part.partition("=")
                self._args[name] = self._given.get(name, default.strip("\"'"))
        elif word == "FROM":
            self._from(rest)
        elif word == "COPY":
            self._copy(rest)
        elif word == "ADD":
            self._add(rest)

    def _from(self, rest: str) -> None:
        self._is_before_stages = False
        words = [part for part in rest.split() if not part.startswith("--")]
        if words:
            self._image(_VARIABLE.sub(self._value, words[0]))
        if len(words) > 2 and words[1].upper() == "AS":
            self._stages.add(words[2].lower())

    def _copy(self, rest: str) -> None:
        for part in rest.split():
            if part.startswith("--from="):
                self._image(part.removeprefix("--from="))

    def _image(self, name: str) -> None:
        if name.lower() in self._stages or name == "scratch" or name.isdigit():
            return
        if "$" in name:
            raise InvalidInput.field(
                "dockerfile",
                f"which image “{name[:80]}” is cannot be told; write its name, or give the argument.",
            )
        self.images.add(name)

    def _value(self, found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return self._args.get(name) or found[3] or found[0]

    def _add(self, rest: str) -> None:
        self._copy(rest)
        for source in _words(rest):
            if source.lower().startswith(_REMOTE) or _REWRITTEN.search(source):
                self.remote.add(source)


def _words(rest: str) -> list[str]:
    parts = [part for part in rest.split() if not part.startswith("--")]
    joined = rest[rest.find("[") :] if parts and parts[0].startswith("[") else ""
    if joined:
        try:
            given = json.loads(joined)
        except ValueError:
            return parts
        return [str(item) for item in given] if isinstance(given, list) else parts
    return parts


def _instructions(text: str, *, indented_comments: bool) -> Iterator[tuple[str, str]]:
    """Word and rest of every instruction, lines joined."""
    lines = [line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n")]
    escape = _escape_of(lines)
    continued = re.compile(rf"{re.escape(escape)}[ \t]*$")
    begun = ""
    for line in lines:
        bare = line.strip(_AROUND)
        is_comment = bare.startswith("#") if indented_comments or not begun else line.startswith("#")
        if not bare or is_comment:
            continue
        begun += continued.sub("", line)
        if not continued.search(line):
            yield _split(begun)
            begun = ""
    if begun:
        yield _split(begun)


def _escape_of(lines: list[str]) -> str:
    for line in lines:
        found = _ESCAPE.fullmatch(line.strip(_AROUND))
        if found:
            return found[1]
        if not _DIRECTIVE.fullmatch(line.strip(_AROUND)):
            break
    return "\\"


def _split(line: str) -> tuple[str, str]:
    word, *rest = _SPACE.split(line.strip(_AROUND), 1)
    return word.upper(), rest[0].strip() if rest else ""
