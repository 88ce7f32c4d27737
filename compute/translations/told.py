"""Texts that the code tells in English and pages say in the reader's language: errors, complaints about
fields, steps that name something. They are found where they are raised, so nobody has to mark them."""

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
# Of a text with less of its own than this nothing is known by it.
_LETTERS_MIN = 5
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


def _told(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in _ERRORS and node.args:
                yield node.args[0]
            elif name == "field" and node.args[1:] and ast.unparse(node.func).endswith("InvalidInput.field"):
                yield node.args[1]
            elif name == "progress" and node.args[1:] and not isinstance(node.args[1], ast.Constant):
                yield node.args[1]


def _variants(text: ast.expr) -> list[Parts]:
    """What a text can be, piece by piece; nothing for what is made elsewhere."""
    if isinstance(text, ast.Constant):
        return [[text.value]] if isinstance(text.value, str) else []
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
