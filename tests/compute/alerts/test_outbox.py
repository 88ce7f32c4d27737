"""What is sent, to a real web server and a real mail server."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from django.utils import timezone

from compute.execution.alerts import guarded, outbox
from compute.execution.alerts.guarded import Post, Refused, addresses_checked, post, url_check
from compute.execution.alerts.outbox import RETRY_S, deliveries_due, delivery_send
from compute.models import AlertChannel, AlertDelivery, User
from tests.attacks.catalogue import attack
from tests.compute.alerts.conftest import Receiver
from tests.live import strain

PAYLOAD = {
    "event": "alert.firing",
    "rule": {"id": "1", "name": "cpu", "kind": "instance_usage", "severity": "critical"},
    "alerts": [
        {"subject": "web", "message": "web: cpu is 95 %, above 90 %.", "fired_at": "2026-01-01T00:00:00Z"}
    ],
    "more": 0,
}


def _delivery(channel: AlertChannel, **columns: Any) -> AlertDelivery:
    return AlertDelivery.objects.create(
        channel=channel, event="alert.firing", payload=PAYLOAD, next_try_at=timezone.now(), **columns
    )


def test_a_webhook_is_signed_over_its_time_and_body(webhook: AlertChannel, receiver: Receiver) -> None:
    row = _delivery(webhook)
    assert delivery_send(str(row.pk))
    headers, body = receiver.received[0]
    signed = headers["LibGo-Timestamp"].encode() + b"." + body
    wanted = hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert headers["LibGo-Signature"] == f"v1={wanted}"
    assert abs(int(headers["LibGo-Timestamp"]) - time.time()) < 5
    assert (headers["LibGo-Delivery"], headers["LibGo-Event"]) == (str(row.pk), "alert.firing")
    assert json.loads(body)["alerts"][0]["subject"] == "web"
    row.refresh_from_db()
    assert (row.state, row.status, row.attempts) == ("delivered", 200, 1)
    assert not delivery_send(str(row.pk)), "once it is taken it is not sent again"


def test_what_is_not_taken_is_tried_again(webhook: AlertChannel, receiver: Receiver) -> None:
    receiver.status(500)
    row, pauses = _delivery(webhook), []
    for _ in range(len(RETRY_S) + 1):
        assert str(row.pk) in deliveries_due()
        assert not delivery_send(str(row.pk))
        row.refresh_from_db()
        pauses.append(round((row.next_try_at - timezone.now()).total_seconds()))
        AlertDelivery.objects.update(next_try_at=timezone.now())
    assert pauses[:-1] == list(RETRY_S)
    assert (row.state, row.status, row.error) == ("failed", 500, "It answered 500.")
    assert deliveries_due() == []
    assert len(receiver.received) == 8


def test_what_was_lost_with_its_worker_is_sent_by_the_next(webhook: AlertChannel, receiver: Receiver) -> None:
    later, before = timezone.now() + timedelta(minutes=1), timezone.now() - timedelta(seconds=1)
    held = _delivery(webhook, state="sending", lease_until=later)
    lost = _delivery(webhook, state="sending", lease_until=before)
    assert deliveries_due() == [str(lost.pk)]
    assert not delivery_send(str(held.pk))
    assert delivery_send(str(lost.pk))


@attack("S71", "a webhook that redirects", refused="not followed")
def test_redirects_are_not_followed(webhook: AlertChannel, receiver: Receiver) -> None:
    receiver.status(302, Location=receiver.url)
    row = _delivery(webhook)
    assert not delivery_send(str(row.pk))
    row.refresh_from_db()
    assert (row.status, row.error) == (302, "It answered by sending elsewhere, which is not followed.")
    assert len(receiver.received) == 1


def test_a_channel_that_is_off_sends_nothing(webhook: AlertChannel, receiver: Receiver) -> None:
    for change in ({"is_enabled": False}, {"is_enabled": True, "secret": "rubbish"}):
        AlertChannel.objects.update(**change)
        row = _delivery(webhook)
        assert not delivery_send(str(row.pk))
        row.refresh_from_db()
        assert row.state == "failed" and row.error
    assert receiver.received == []


def test_a_receiver_that_drips_is_left(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(handler: Any) -> None:
        try:
            handler.send_response(200)
            handler.end_headers()
            for _ in range(100):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            return

    receiver.answer = drip
    monkeypatch.setattr(guarded, "DEADLINE_S", 0.5)
    began = time.monotonic()
    with pytest.raises(Refused, match="took too long"):
        post(Post(receiver.url, b"{}", {}, allow_internal=True))
    assert time.monotonic() - began < 3 * strain()


def test_an_endless_answer_is_not_read_to_its_end(receiver: Receiver) -> None:
    sent = []

    def endless(handler: Any) -> None:
        try:
            handler.send_response(200)
            handler.end_headers()
            while sum(sent) < 2**28:
                sent.append(handler.wfile.write(b"x" * 65536))
        except OSError:
            return

    receiver.answer = endless
    assert post(Post(receiver.url, b"{}", {}, allow_internal=True)) == 200
    time.sleep(0.1)
    assert sum(sent) < 2**26


# -- the guard ---------------------------------------------------------------------------------------


def _named(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[int]:
    """Every name has these addresses; how often one was asked for."""
    asked: list[int] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(1)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(guarded.socket, "getaddrinfo", resolve)
    return asked


@attack("S71", "a webhook to addresses inside", refused="refused")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
    ],
)
def test_addresses_inside_are_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    _named(monkeypatch, "93.184.216.34", address)
    with pytest.raises(Refused) as refused:
        addresses_checked("example.org", 443, allow_internal=False)
    assert refused.value.is_final


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8"])
def test_addresses_outside_are_called(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    _named(monkeypatch, address)
    assert addresses_checked("example.org", 443, allow_internal=False) == [address]


@attack(
    "S71", "a webhook to the metadata service of a cloud, with addresses inside allowed", refused="refused"
)
@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec2::254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
def test_not_even_permission_leads_to_what_clouds_tell_their_machines(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    _named(monkeypatch, address)
    with pytest.raises(Refused):
        addresses_checked("example.org", 80, allow_internal=True)


def test_the_checked_address_is_called(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads elsewhere the second time is asked for once."""
    port = receiver.server.server_address[1]
    asked = _named(monkeypatch, "127.0.0.1")
    assert post(Post(f"http://rebind.example.org:{port}/", b"{}", {}, allow_internal=True)) == 200
    assert len(asked) == 1
    assert receiver.received[0][0]["Host"] == f"rebind.example.org:{port}"


@attack("S71", "a webhook to a name that resolves inside", refused="nothing arrives")
def test_a_receiver_inside_hears_nothing(receiver: Receiver) -> None:
    port = receiver.server.server_address[1]
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"):
        with pytest.raises(Refused, match="internal"):
            post(Post(f"http://{host}:{port}/", b"{}", {}))
    assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://user:pass@example.org/",
        "https://",
        "//example.org",
        "https://example.org/a b",
        "https://example.org/\r\nX: y",
        "https://exämple.org/",
        "https://example.org:99999/",
        "https://example.org:0/",
        "https://example.org/#x",
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        url_check(url)


# -- mail --------------------------------------------------------------------------------------------


class _Box(Message):
    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.mails.append(message)


@pytest.fixture
def box(settings: Any) -> Iterator[_Box]:
    made = _Box()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(made, hostname="127.0.0.1", port=port)
    controller.start()
    mail = {
        **settings.LIBGO["mail"],
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "libgo@example.org",
    }
    settings.LIBGO = {**settings.LIBGO, "mail": mail}
    yield made
    controller.stop()


@pytest.fixture
def mailbox(db: Any) -> AlertChannel:
    config = {"recipients": ["ops@example.org", "night@example.org"]}
    return AlertChannel.objects.create(name="ops", kind="email", config=config)


def test_a_mail_says_what_fires(mailbox: AlertChannel, box: _Box) -> None:
    assert delivery_send(str(_delivery(mailbox).pk))
    mail = box.mails[0]
    assert mail["Subject"] == "LibGo [critical] cpu: web"
    assert (mail["From"], mail["To"]) == ("libgo@example.org", "ops@example.org, night@example.org")
    assert "web: cpu is 95 %" in mail.get_payload()


def test_a_mail_speaks_as_its_reader_does(mailbox: AlertChannel, box: _Box) -> None:
    """By the language that the account of an address chose; the text of the row stays English."""
    User.objects.create_user("nora", "Night@Example.org", language="de")
    row = _delivery(mailbox)
    assert delivery_send(str(row.pk)) and len(box.mails) == 2
    mails = {mail["To"]: mail for mail in box.mails}
    english, german = mails["ops@example.org"], mails["night@example.org"]
    assert german["Subject"] == "LibGo [kritisch] cpu: web"
    told = german.get_payload(decode=True).decode()
    assert "Ausgelöst: cpu" in told and "web: CPU bei 95 %" in told
    assert "Firing: cpu" in english.get_payload() and "web: cpu is 95 %" in str(row.payload)


def test_without_a_mail_server_it_says_so(mailbox: AlertChannel) -> None:
    row = _delivery(mailbox)
    assert not delivery_send(str(row.pk))
    row.refresh_from_db()
    assert (row.state, row.error) == ("failed", "No mail server is configured (mail.host).")


def test_a_mail_server_that_is_away_is_tried_again(mailbox: AlertChannel, box: _Box, settings: Any) -> None:
    settings.LIBGO = {**settings.LIBGO, "mail": {**settings.LIBGO["mail"], "port": 9}}
    row = _delivery(mailbox)
    assert not delivery_send(str(row.pk))
    row.refresh_from_db()
    assert row.state == "queued" and "did not take it" in row.error


def test_nothing_typed_in_becomes_a_header(box: _Box, db: Any) -> None:
    outbox.mail_send(["ops@example.org"], "one\r\nBcc: evil@example.org", "text")
    assert box.mails[0]["Bcc"] is None
    assert box.mails[0]["Subject"] == "one Bcc: evil@example.org"
