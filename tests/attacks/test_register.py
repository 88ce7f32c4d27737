"""The list of attacks is complete: each was tried, in part with its rest named, or is told as a gap."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.attacks.cases import CASES, GAPS, PARTS

_TESTS = Path(__file__).resolve().parent.parent


def _marked() -> Iterator[tuple[str, str]]:
    """Each id with the file of its mark; a mark that is not on a test would show nothing."""
    for path in _TESTS.rglob("test_*.py"):
        text = path.read_text()
        if "@attack(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for mark in node.decorator_list:
                if (
                    isinstance(mark, ast.Call)
                    and isinstance(mark.func, ast.Name)
                    and mark.func.id == "attack"
                ):
                    assert node.name.startswith("test_"), f"{path}: {node.name} is no test"
                    words = mark.args[0]
                    assert isinstance(words, ast.Constant), f"{path}: {node.name}"
                    yield from ((key, path.name) for key in str(words.value).split())


def test_every_attack_of_the_list_was_tried_or_is_told_as_a_gap() -> None:
    marked = {key for key, _ in _marked()}
    unknown = sorted(marked - set(CASES))
    assert not unknown, f"{unknown}: no attacks of the list"
    forgotten = sorted(set(CASES) - marked - set(GAPS))
    assert not forgotten, f"{forgotten}: mark a test, or give the reason in GAPS"
    tried = sorted(marked & set(GAPS))
    assert not tried, f"{tried}: tried by now, so no gaps; what is left to try goes into PARTS"
    assert set(PARTS) <= marked, "only what was tried is tried in part"
