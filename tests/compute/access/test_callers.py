"""The matrix and the code that asks it know the same actions.

Who asks is found in two ways: the tables of routes, pages and sockets, each row of which is tried as
everybody, and the calls of the code. An action that neither names is dead; a call that names no action would
be an error 500 (``rule_of`` raises ``KeyError``) for whoever comes by.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from compute.admin_site import MatrixAdmin
from compute.permissions import ACTIONS
from compute.services.actions import actions_known, node_actions_known
from compute.states import Action
from dockerapp.api.stack_urls import VERBS
from tests.compute.access.permission_pages import pages
from tests.compute.access.permission_routes import routes
from tests.compute.access.test_sockets import SOCKETS

ROOT = Path(__file__).resolve().parents[3]
# Where the action stands among the arguments of those who ask, by their names.
_ASKERS = {
    "action_require": 1,
    "action_allowed": 1,
    "action_somewhere": 1,
    "holds": 1,
    "MenuEntry": 3,
}
_NEEDED = {action.needs for action in (*actions_known(), *node_actions_known())}
# What an f-string or a variable stands for: each one by name, so that a new one is looked at.
_FILLED = {
    "f'instance.{action}'": {f"instance.{action}" for action in Action},
    "f'stack.{verb}'": {f"stack.{verb}" for verb in VERBS},
    "f'{self.noun}.{verb}'": {
        f"{each.noun}.{verb}" for each in MatrixAdmin.__subclasses__() for verb in each.verbs.values()
    },
    "action.needs": _NEEDED,
    "any_action_get(row.action).needs": _NEEDED,
}


def _calls() -> Iterator[tuple[str, ast.expr]]:
    """Each call of one who asks: where, and what stands for the action."""
    for path in sorted(
        each for app in ("compute", "dockerapp", "kvm") for each in (ROOT / app).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in _ASKERS and len(node.args) > _ASKERS[name]:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.args[_ASKERS[name]]


def _words(asked: ast.expr) -> set[str]:
    """The actions that the expression may name; empty for what its caller hands through."""
    known = _FILLED.get(ast.unparse(asked))
    if known is not None:
        return known
    assert not isinstance(asked, ast.JoinedStr), f"say in _FILLED what {ast.unparse(asked)} stands for"
    if isinstance(asked, ast.IfExp):
        return _words(asked.body) | _words(asked.orelse)
    return {str(asked.value)} if isinstance(asked, ast.Constant) else set()


def _declared() -> set[str]:
    return {each.action for each in (*routes(), *pages())} | {action for action, _ in SOCKETS.values()}


def test_whoever_asks_names_an_action_of_the_matrix() -> None:
    calls = list(_calls())
    assert len(calls) > 100, "the calls are not found any more"
    for place, asked in calls:
        unknown = _words(asked) - set(ACTIONS)
        assert not unknown, f"{place} asks for {sorted(unknown)}, which the matrix does not know"
    assert not _declared() - set(ACTIONS)


def test_every_action_has_a_caller() -> None:
    asked = {word for _, each in _calls() for word in _words(each)}
    dead = sorted(set(ACTIONS) - asked - _declared())
    assert not dead, f"nobody asks for {dead}: take them out of the matrix"
