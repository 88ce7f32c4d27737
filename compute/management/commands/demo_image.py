"""``manage.py demo_image``: something to start at once, without the internet."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from compute.backends.capabilities import Capability
from compute.backends.registry import backend_class, backend_for, backend_forget
from compute.backends.types import UndoStep
from compute.errors import ComputeError
from compute.models import Node
from compute.selectors.nodes import node_config
from compute.services.nodes import node_ensure_local


class _Printer:
    """A reporter for the terminal."""

    def __init__(self, command: BaseCommand, node: Node) -> None:
        self._command, self._node = command, node

    def progress(self, percent: float, step: str) -> None:
        self.log(f"{percent:3.0f}% {step}")

    def log(self, line: str) -> None:
        self._command.stdout.write(f"{self._node.name}: {line}")

    def checkpoint(self) -> None:
        return None

    def undo(self, step: UndoStep) -> None:
        return None


class Command(BaseCommand):
    help = "Make the demo container image and the demo VM image on every local node; again changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        node_ensure_local()
        failed = []
        for node in Node.objects.filter(is_local=True, is_enabled=True):
            try:
                if Capability.IMAGE in backend_class(node.backend).capabilities:
                    backend_for(node_config(node)).demo_image_make(_Printer(self, node), renew=True)
            except ComputeError as error:
                failed.append(f"{node.name}: {error.message}")
            finally:
                backend_forget(str(node.pk))
        if failed:
            raise CommandError("\n".join(failed))
