"""``manage.py watch``: the watcher process."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from compute.backends.runtime import runtime_sweep
from compute.selectors.nodes import node_runtime_dir
from compute.watcher import watch


class Command(BaseCommand):
    help = "Follow the engines and keep the mirror true, until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        runtime_sweep(node_runtime_dir())
        watch(stopping)
