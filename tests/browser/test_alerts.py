"""A container that works too hard: its rule, the bell, the webhook, the end."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page, Response, Route, expect

from tests.live import LiveConsole, until

_WORK = ["/bin/sh", "-c", "while :; do :; done"]


class _Receiver(BaseHTTPRequestHandler):
    received: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    _Receiver.received = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _field(page: Page, name: str, value: str) -> None:
    page.fill(f"#dialog-box [name={name}]", value)


def _charted(page: Page, path: str) -> None:
    note = page.locator("[data-usage-note]")

    def is_there() -> bool:
        page.goto(path)
        expect(note).not_to_have_text("")
        return note.inner_text() == "One point for 10 s"

    until(is_there, "a first point of 10 s is over and charted", 40)


def _look_while_the_bell_is_slow(page: Page, live: LiveConsole) -> None:
    """What it asked when the page came tells what was new then; it is seen now, and counts no more."""
    before, asked, seen = page.request.get(f"{live.url}/alerts/bell").text(), list[Route](), list[Response]()
    assert "data-new" in before

    def slow(route: Route) -> None:
        asked.append(route)

    def heard(answer: Response) -> None:
        if answer.url.endswith("/alerts/seen"):
            seen.append(answer)

    page.route("**/alerts/bell", slow)
    page.on("response", heard)
    page.goto(f"{live.url}/alerts")
    page.wait_for_timeout(1500)
    assert len(asked) == 1
    asked[0].fulfill(body=before, content_type="text/html")
    until(lambda: page.locator("#bell [data-new]").count() == 0 and seen, "it is seen", 15)
    page.wait_for_timeout(300)
    assert page.locator("#bell [data-new]").count() == 0
    page.unroute("**/alerts/bell")


def test_a_busy_container_rings_the_bell_and_the_webhook(
    page: Page, live: LiveConsole, name: str, receiver: ThreadingHTTPServer
) -> None:
    live.create(name, "docker", config={"image": "libgo/demo:latest", "command": _WORK})
    page.goto(f"{live.url}/alerts/channels")
    page.get_by_role("button", name="New channel").click()
    _field(page, "name", f"hook-{name}")
    _field(page, "url", f"http://127.0.0.1:{receiver.server_address[1]}/")
    page.locator("#dialog-box summary", has_text="Further settings").click()
    page.check("#dialog-box [name=allow_internal]")
    page.locator("#dialog-box button[type=submit]").click()
    secret = page.locator("#dialog-box #secret").input_value()
    page.get_by_role("button", name="I have it").click()

    page.goto(f"{live.url}/alerts/rules")
    page.get_by_role("button", name="New rule").click()
    _field(page, "name", f"busy-{name}")
    page.select_option("#dialog-box [name=metric]", "cpu_percent")
    # Of a machine that many want, one that never rests gets a few hundredths of a core.
    _field(page, "threshold", "2")
    _field(page, "for_s", "3")
    page.select_option("#dialog-box [name=channels]", f"hook-{name}")
    page.locator("#dialog-box summary", has_text="Further settings").click()
    _field(page, "instance", name)
    page.locator("#dialog-box button[type=submit]").click()
    expect(page.locator(f"tr[data-name='busy-{name}']")).to_contain_text("CPU above 2 % · for 3 s")

    try:
        expect(page.locator("#bell [data-new]")).to_be_visible(timeout=90_000)
        _look_while_the_bell_is_slow(page, live)
        row = page.locator("tr[data-alert]", has_text=f"busy-{name}")
        expect(row).to_contain_text("firing")
        row.get_by_role("button", name="Look after it").click()
        expect(row).to_contain_text("admin looks after it")

        live.api("PUT", f"/compute/instances/{name}/stop?wait=60", {"force": True})
        expect(row).to_contain_text("resolved")
        until(lambda: len(_Receiver.received) == 2, "both were sent", 20)
        assert [json.loads(body)["event"] for _, body in _Receiver.received] == [
            "alert.firing",
            "alert.resolved",
        ]
        headers, body = _Receiver.received[0]
        signed = headers["LibGo-Timestamp"].encode() + b"." + body
        wanted = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        assert headers["LibGo-Signature"] == f"v1={wanted}"
        _charted(page, f"{live.url}/instances/{live.shown(name)['id']}/usage")  # type: ignore[index]
        page.get_by_role("button", name="1 y").click()
        expect(page.locator("[data-usage-note]")).to_have_text("One point for 12 h")
        # CPU, memory, network, disk, and how much its own layer holds.
        assert page.locator("[data-chart] canvas").count() == 5
    finally:
        live.api("DELETE", f"/alerts/rules/busy-{name}")
        live.api("DELETE", f"/alerts/channels/hook-{name}")
