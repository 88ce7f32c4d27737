"""``manage.py nodes_ensure``: the engines of this machine as nodes, as configured."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from compute.services.nodes import node_ensure_local


class Command(BaseCommand):
    help = "Register the local engines as nodes."

    def handle(self, *args: Any, **options: Any) -> None:
        for node in node_ensure_local():
            self.stdout.write(f"Node {node.name}: {node.url}")
