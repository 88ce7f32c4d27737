"""Send what is in the outbox: at least once, with pauses that grow, each try in the log."""

from __future__ import annotations

import hashlib
import hmac
import smtplib
import ssl
from datetime import timedelta
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Lower, Now
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, override

from compute.errors import BackendUnavailable
from compute.execution.alerts.guarded import DEADLINE_S, Post, Refused, post
from compute.execution.lease import lease_end
from compute.models import AlertChannel, AlertDelivery, User
from compute.sealing import unseal
from compute.selectors.alerts import hook_url
from compute.states import ChannelKind, DeliveryState
from compute.told import told_text
from compute.wording import word_text

log = structlog.get_logger(__name__)

# Seconds until the next try; after the last one it has failed.
RETRY_S = (10, 30, 120, 600, 1800, 3600, 7200)
_LEASE_S = 4 * DEADLINE_S
_BATCH = 50


def deliveries_due() -> list[str]:
    """What waits and may be tried, and what was lost with the process that tried."""
    lost = Q(state=DeliveryState.SENDING.value, lease_until__lt=Now())
    rows = AlertDelivery.objects.filter(
        Q(state=DeliveryState.QUEUED.value, next_try_at__lte=timezone.now()) | lost
    )
    return [str(pk) for pk in rows.order_by("next_try_at").values_list("pk", flat=True)[:_BATCH]]


def delivery_send(delivery_id: str) -> bool:
    """One try; whether it was taken. Somebody else's is left to them."""
    row = _claim(delivery_id)
    if row is None:
        return False
    try:
        status = _sent(row.channel, row)
    except Refused as error:
        _failed(row, error)
        return False
    _close(row, DeliveryState.DELIVERED, status=status, error="")
    return True


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """``v1=`` and HMAC-SHA256, in hex, of the timestamp, a dot and the body."""
    mac = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"v1={mac.hexdigest()}"


def _claim(delivery_id: str) -> AlertDelivery | None:
    free = Q(state=DeliveryState.QUEUED.value) | Q(state=DeliveryState.SENDING.value, lease_until__lt=Now())
    taken = AlertDelivery.objects.filter(free, pk=delivery_id).update(
        state=DeliveryState.SENDING.value, lease_until=lease_end(_LEASE_S), attempts=F("attempts") + 1
    )
    if not taken:
        return None
    return AlertDelivery.objects.select_related("channel").get(pk=delivery_id)


def _sent(channel: AlertChannel, row: AlertDelivery) -> int | None:
    if not channel.is_enabled:
        raise Refused("The channel is switched off.", is_final=True)
    if channel.kind == ChannelKind.EMAIL:
        for language, recipients in _by_language(channel.config["recipients"]).items():
            with override(language):
                mail_send(recipients, _subject(row.payload), _text(row.payload))
        return None
    return _webhook(channel, row)


def _by_language(recipients: list[str]) -> dict[str, list[str]]:
    """Who reads which: as the accounts of these addresses chose, else as the site speaks."""
    accounts = User.objects.annotate(address=Lower("email")).exclude(language="")
    rows = accounts.filter(address__in=[address.lower() for address in recipients])
    chosen = dict(rows.values_list("address", "language"))
    found: dict[str, list[str]] = {}
    for address in recipients:
        found.setdefault(chosen.get(address.lower(), settings.LANGUAGE_CODE), []).append(address)
    return found


def _webhook(channel: AlertChannel, row: AlertDelivery) -> int:
    now = timezone.now()
    timestamp = str(int(now.timestamp()))
    body = orjson.dumps({"id": str(row.pk), "created_at": row.created_at, **row.payload})
    try:
        secret, url = str(unseal(channel.secret) or ""), hook_url(channel)
    except BackendUnavailable as error:
        raise Refused(error.message, is_final=True) from error
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "LibGo",
        "LibGo-Event": row.event,
        "LibGo-Delivery": str(row.pk),
        "LibGo-Timestamp": timestamp,
        "LibGo-Signature": signature(secret, timestamp, body),
    }
    return post(Post(url, body, headers, bool(channel.config.get("allow_internal"))))


def mail_send(recipients: list[str], subject: str, text: str) -> None:
    """By the server of the configuration. Raises ``Refused``."""
    mail = settings.LIBGO["mail"]
    if not mail["host"]:
        raise Refused("No mail server is configured (mail.host).", is_final=True)
    message = EmailMessage()
    message["From"], message["To"] = mail["sender"], ", ".join(recipients)
    message["Subject"] = " ".join(subject.split())[:200]
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="libgo.invalid")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    try:
        with _server(mail) as server:
            if mail["username"]:
                server.login(mail["username"], mail["password"])
            refused = server.send_message(message)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise Refused(f"The mail server did not take it: {error}"[:400]) from error
    if refused:
        raise Refused(f"The mail server refused {', '.join(refused)}."[:400], is_final=True)


def _server(mail: dict[str, Any]) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=mail["ca_path"] or None)
    if mail["security"] == "tls":
        return smtplib.SMTP_SSL(mail["host"], mail["port"], timeout=DEADLINE_S, context=context)
    server = smtplib.SMTP(mail["host"], mail["port"], timeout=DEADLINE_S)
    if mail["security"] == "starttls":
        server.starttls(context=context)
    return server


def _failed(row: AlertDelivery, error: Refused) -> None:
    if error.is_final or row.attempts > len(RETRY_S):
        _close(row, DeliveryState.FAILED, status=error.status, error=str(error))
        log.warning("alert_not_delivered", channel=row.channel.name, reason=str(error))
        return
    AlertDelivery.objects.filter(pk=row.pk, state=DeliveryState.SENDING.value).update(
        state=DeliveryState.QUEUED.value,
        lease_until=None,
        next_try_at=timezone.now() + timedelta(seconds=RETRY_S[row.attempts - 1]),
        status=error.status,
        error=str(error)[:500],
    )


def _close(row: AlertDelivery, state: DeliveryState, *, status: int | None, error: str) -> None:
    AlertDelivery.objects.filter(pk=row.pk, state=DeliveryState.SENDING.value).update(
        state=state.value, lease_until=None, finished_at=Now(), status=status, error=error[:500]
    )


def _subject(payload: dict[str, Any]) -> str:
    if payload["event"] == "test":
        return _("LibGo: a test")
    rule, alerts = payload["rule"], payload["alerts"]
    word = "resolved" if payload["event"] == "alert.resolved" else rule["severity"]
    count = len(alerts) + payload["more"]
    things = ngettext("%(n)d thing", "%(n)d things", count) % {"n": count}
    what = alerts[0]["subject"] if count == 1 else things
    return f"LibGo [{word_text(word)}] {rule['name']}: {what}"


def _text(payload: dict[str, Any]) -> str:
    if payload["event"] == "test":
        return _("This is a test of an alert channel of LibGo. It works.") + "\n"
    over, rule = payload["event"] == "alert.resolved", {"rule": payload["rule"]["name"]}
    lines = [(_("Over: %(rule)s") if over else _("Firing: %(rule)s")) % rule, ""]
    for alert in payload["alerts"]:
        since = _time(alert["resolved_at"] if over else alert["fired_at"])
        lines.append(f"- {alert['subject']}: {told_text(alert['message'])} ({since})")
    if payload["more"]:
        lines.append(_("- and %(n)s more") % {"n": payload["more"]})
    return "\n".join(lines) + "\n"


def _time(text: str | None) -> str:
    at = parse_datetime(text) if text else None
    return f"{date_format(at, 'DATETIME_FORMAT')} UTC" if at else ""
