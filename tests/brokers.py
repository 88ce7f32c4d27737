"""Brokers that belong to a test, so nobody else starts, stops or hangs them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import redis
from celery import Celery

from libgo_site.launch.broker import broker_command, broker_wait


class Broker:
    """One at a socket in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.socket = folder / "broker.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    @property
    def celery(self) -> Celery:
        app = Celery(broker=self.url.replace("unix://", "redis+socket://"))
        app.conf.task_default_queue = "libgo"
        return app

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(broker_command(self.socket), stdout=quiet, stderr=quiet)
        assert broker_wait(self.socket), f"the broker did not answer on {self.socket}"

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        """Give it back, in whatever state it is."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
