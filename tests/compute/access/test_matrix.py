"""The matrix itself: the written table is the code's, and what it says holds together."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute.management.commands.access_matrix import matrix_text
from compute.permissions import ACTIONS, CELLS, NOBODY, OPERATOR, SITE_ADMIN, VIEWER, Reach, is_allowed
from compute.states import ROLE_PERMISSIONS, Action, Permission, Role

ROOT = Path(__file__).resolve().parents[3]


def test_the_written_matrix_is_that_of_the_code() -> None:
    written = (ROOT / "docs" / "permissions.md").read_text()
    assert written == matrix_text(), "write it anew: ./libgo manage access_matrix"


def test_every_action_on_an_instance_is_in_it() -> None:
    assert {f"instance.{action}" for action in Action} <= set(ACTIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_nobody_may_more_than_the_next_above(action: str) -> None:
    for foreign in (False, True):
        marks = [is_allowed(cell, action, is_foreign=foreign) for cell in CELLS]
        assert marks == sorted(marks, reverse=True), f"{action}: a lower role may more than a higher one"
    assert is_allowed(SITE_ADMIN, action, is_foreign=True)
    assert is_allowed(NOBODY, action, is_foreign=False) == (ACTIONS[action].reach is Reach.PUBLIC)


def test_the_contract_of_the_roles() -> None:
    """Viewers read; operators do all but administer."""
    assert ROLE_PERMISSIONS[Role.VIEWER] == {Permission.READ}
    assert set(Permission) - ROLE_PERMISSIONS[Role.OPERATOR] == {Permission.ADMIN}
    for action, rule in ACTIONS.items():
        if rule.reach is Reach.PROJECT:
            assert is_allowed(VIEWER, action, is_foreign=False) == (rule.permission is Permission.READ)
            assert not is_allowed(OPERATOR, action, is_foreign=True), action
            assert is_allowed(OPERATOR, action, is_foreign=True, is_hosts=True) == (
                rule.permission is Permission.READ
            )
