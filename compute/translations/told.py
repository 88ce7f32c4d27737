"""Texts that the code tells in English and pages say in the reader's language: errors, complaints about
fields, steps that name something, what alerts and events say. They are found where they stand, so nobody
has to mark them: what is raised, and whatever else is a whole sentence. Parts of sentences are marked by
``tell``."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from compute import errors

_ERRORS = frozenset(name for name, kind in vars(errors).items() if inspect.isclass(kind))
# Only programs read what is told there.
_FOR_PROGRAMS = re.compile(r"/api/|/consumers/|/sockets\.py|/fake\.py|/engine/demo|/management/|/migrations/")
# Their first argument is such a text.
_CARRIERS = frozenset({*_ERRORS, "Problem", "Refused", "tell"})
# What is inside is marked already, or for those who run LibGo.
_BESIDE = frozenset(
    "_ gettext gettext_lazy later ngettext ngettext_lazy pgettext pgettext_lazy add_argument "
    "debug info warning error exception critical RuntimeError AssertionError TypeError".split()
)
# A reason, or what to do, may follow.
_SENTENCE_END = re.compile(r"[.?…]$|[.:] \0$")
_SENTENCE_WORDS_MIN = 3
# Programs and patterns.
_NO_PROSE = re.compile(r"[\n\\]|\(\?|\]\(")
# What ``str.format`` fills in.
_HOLE = re.compile(r"\{(\w*)\}")
# Of a text with less of its own than this nothing is known by it.
_LETTERS_MIN = 4
_VARIANTS_MAX = 16

Parts = list["str | ast.expr"]


def told_messages(root: Path, folders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """File and message, with ``%(name)s`` for what is filled in."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            place = str(path.relative_to(root))
            if _FOR_PROGRAMS.search(f"/{place}"):
                continue
            for text in _told(ast.parse(path.read_text())):
                for parts in _variants(text)[:_VARIANTS_MAX]:
                    if _letters(parts) >= _LETTERS_MIN:
                        yield place, _message(parts)


def _told(node: ast.AST) -> Iterator[ast.expr]:
    told: ast.expr | None = None
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in _BESIDE:
            return
        told = _raised(node, name)
        if told is not None and _variants(told):
            yield told
        else:
            told = None
    if isinstance(node, (ast.Constant, ast.JoinedStr)):
        if _is_sentence(node):
            yield _filled_later(node)
        return
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = node.body[0] if isinstance(node, documented) and ast.get_docstring(node) is not None else None
    for child in ast.iter_child_nodes(node):
        if child not in (first, told):
            yield from _told(child)


def _raised(call: ast.Call, name: str) -> ast.expr | None:
    """The text of an error, of a complaint, of a step that names something, or what is marked."""
    if name in _CARRIERS:
        place = 0
    elif name == "field" and ast.unparse(call.func).endswith("InvalidInput.field"):
        place = 1
    elif name == "progress" and call.args[1:] and not isinstance(call.args[1], ast.Constant):
        place = 1
    else:
        return None
    return call.args[place] if call.args[place:] else None


def _is_sentence(text: ast.Constant | ast.JoinedStr) -> bool:
    pieces = text.values if isinstance(text, ast.JoinedStr) else [text]
    own = "".join(str(piece.value) if isinstance(piece, ast.Constant) else "\0" for piece in pieces)
    words = re.findall(r"[^\W\d_]{2,}", own)
    return (
        " " in own
        and not _NO_PROSE.search(own)
        and bool(_SENTENCE_END.search(own))
        and len(words) >= _SENTENCE_WORDS_MIN
    )


def _filled_later(text: ast.Constant | ast.JoinedStr) -> ast.expr:
    """A text for ``str.format`` as the f-string that it could be."""
    if isinstance(text, ast.JoinedStr) or not _HOLE.search(str(text.value)):
        return text
    pieces = _HOLE.split(str(text.value))
    holes = [ast.FormattedValue(ast.Name(name or "value"), -1) for name in pieces[1::2]]
    texts = [ast.Constant(piece) for piece in pieces[::2]]
    return ast.JoinedStr([each for pair in itertools.zip_longest(texts, holes) for each in pair if each])


def _variants(text: ast.expr) -> list[Parts]:
    """What a text can be, piece by piece; nothing for what is made elsewhere."""
    if isinstance(text, ast.Constant):
        return [[text.value]] if isinstance(text.value, str) else []
    if isinstance(text, ast.Subscript):
        return _variants(text.value)
    if isinstance(text, ast.IfExp):
        return _variants(text.body) + _variants(text.orelse)
    if isinstance(text, ast.BoolOp):
        return [parts for value in text.values for parts in _variants(value)]
    if isinstance(text, ast.BinOp) and isinstance(text.op, ast.Add):
        pairs = itertools.product(_variants(text.left), _variants(text.right))
        return [left + right for left, right in pairs]
    if isinstance(text, ast.JoinedStr):
        choices = [_choices(piece) for piece in text.values]
        return [[part for parts in chosen for part in parts] for chosen in itertools.product(*choices)]
    return []


def _choices(piece: ast.expr) -> list[Parts]:
    if isinstance(piece, ast.FormattedValue):
        return (_variants(piece.value) if isinstance(piece.value, ast.IfExp) else []) or [[piece.value]]
    return _variants(piece)


def _letters(parts: Parts) -> int:
    return sum(len(re.findall(r"[^\W\d_]", part)) for part in parts if isinstance(part, str))


def _message(parts: Parts) -> str:
    names: list[str] = []
    said = ""
    for part in parts:
        if isinstance(part, str):
            said += part.replace("%", "%%")
            continue
        name = _name(part)
        names.append(name)
        said += f"%({name}{names.count(name) if names.count(name) > 1 else ''})s"
    return said


def _name(value: ast.expr) -> str:
    """Of what is filled in: the last name in its expression."""
    for node in ast.walk(value):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            if isinstance(node.slice.value, str) and node.slice.value.isidentifier():
                return node.slice.value.rstrip("0123456789")
        if isinstance(node, ast.Attribute) and node.attr not in {"join", "partition", "rpartition"}:
            return node.attr.strip("_").rstrip("0123456789").lower()
    found = [node.id for node in ast.walk(value) if isinstance(node, ast.Name)]
    return (found[-1] if found else "value").strip("_").rstrip("0123456789").lower() or "value"
