"""A reporter that remembers, for tests that talk to a backend without an operation."""

from __future__ import annotations

from compute.backends.types import UndoStep
from compute.errors import OperationCancelled


class MemoryReporter:
    def __init__(self) -> None:
        self.percents: list[float] = []
        self.lines: list[str] = []
        self.steps: list[UndoStep] = []
        self.cancel_at: float | None = None

    def progress(self, percent: float, step: str) -> None:
        self.percents.append(percent)
        self.lines.append(step)
        if self.cancel_at is not None and percent >= self.cancel_at:
            raise OperationCancelled("The test cancelled it.")

    def log(self, line: str) -> None:
        self.lines.append(line)

    def checkpoint(self) -> None:
        if self.cancel_at is not None and self.percents and self.percents[-1] >= self.cancel_at:
            raise OperationCancelled("The test cancelled it.")

    def undo(self, step: UndoStep) -> None:
        self.steps.append(step)
