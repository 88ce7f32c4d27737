"""Rules without the API, samples without a sampler, and a web server that takes what is sent to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from compute.live import _redis, usage_write
from compute.models import AlertChannel, AlertRule
from compute.sealing import seal

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Receiver:
    """``url``; what was ``received`` as (headers, body); what it will answer."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: _plain(handler, 200)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((dict(self.headers), body))
                receiver.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?x=1"

    def status(self, number: int, **headers: str) -> None:
        self.answer = lambda handler: _plain(handler, number, **headers)


def _plain(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def webhook(db: Any, receiver: Receiver) -> AlertChannel:
    config = {"url": receiver.url, "allow_internal": True}
    return AlertChannel.objects.create(name="hook", kind="webhook", config=config, secret=seal("s3cret"))


@pytest.fixture
def rule(db: Any) -> Callable[..., AlertRule]:
    """``rule("instance_down", for_s=5)``, with channels."""

    def make(kind: str, *channels: AlertChannel, **columns: Any) -> AlertRule:
        made = AlertRule.objects.create(name=f"r-{kind}", kind=kind, **columns)
        made.channels.set(channels)
        return made

    return make


@pytest.fixture
def busy() -> Callable[..., None]:
    """``busy(row, cpu_percent=90)``: what the sampler saw of it in the last seconds."""
    _redis().flushall()

    def put(row: Any, **sample: Any) -> None:
        _redis().delete(f"libgo:usage:{row.pk}")
        for ago_s in (6, 4, 2, 0):
            at = datetime.now(timezone.utc) - timedelta(seconds=ago_s)
            usage_write({str(row.pk): {"timestamp": at.isoformat(), **sample}})

    return put
