"""The registers of this suite, and pytest's hooks for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.catalogue import ATTACKS
from tests.faults.catalogue import FAULTS
from tests.load.catalogue import STORM
from tests.thorough import told, turn_keep

_REGISTERS = (FAULTS, ATTACKS, STORM)


def pytest_configure(config: pytest.Config) -> None:
    turn_keep()
    for register in _REGISTERS:
        config.addinivalue_line("markers", f"{register.mark}(…): a row of the table of {register.mark}s")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for register in _REGISTERS:
        register.show(terminalreporter)
    terminalreporter.write_line(told())


def properties_of(item: pytest.Item) -> list[tuple[str, Any]]:
    """What the rows will be, in a form that reports carry between processes."""
    names = [register.mark for register in _REGISTERS]
    return [(mark.name, dict(mark.kwargs)) for mark in item.iter_markers() if mark.name in names]
