"""Rules, alerts and channels: made, changed, silenced, tried."""

from __future__ import annotations

import math
import secrets
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils import timezone

from compute.actor import Actor
from compute.audit import audit, changes_of, stored
from compute.errors import InvalidInput, InvalidState, NameConflict
from compute.events import Fact, event_publish
from compute.execution.alerts.guarded import url_check
from compute.models import Alert, AlertChannel, AlertDelivery, AlertRule, AlertsSeen
from compute.sealing import seal
from compute.selectors.access import action_require
from compute.selectors.alerts import (
    alert_get,
    channel_get,
    channels_visible,
    hook_url,
    hook_url_shown,
    rule_get,
)
from compute.selectors.instances import instance_get
from compute.selectors.nodes import node_get
from compute.services.instance_body import name_check
from compute.services.projects import project_for, project_get
from compute.states import ALERT_METRICS, SITE_ALERT_KINDS, AlertKind, AlertState, ChannelKind

_PLAIN = ("severity", "metric", "above", "threshold", "clear_threshold", "for_s", "action", "silenced_until")
_OF_INSTANCES = (
    *(AlertKind.INSTANCE_USAGE, AlertKind.INSTANCE_DOWN, AlertKind.INSTANCE_UNHEALTHY),
    AlertKind.BACKUP_OVERDUE,
)
_RULES_MAX = 200
_CHANNELS_MAX = 20
_RECIPIENTS_MAX = 20
_URL_MAX = 1000


# -- alerts ------------------------------------------------------------------------------------------


def alert_acknowledge(actor: Actor, alert_id: str) -> Alert:
    """Somebody looks after it. Raises ``NotFound``, ``InvalidState`` when it does not fire."""
    row = alert_get(actor, alert_id)
    action_require(actor, "alert.acknowledge", row.project_uid)
    with transaction.atomic():
        firing = Alert.objects.filter(pk=row.pk, state=AlertState.FIRING.value)
        if not firing.update(acknowledged_by=actor.username, acknowledged_at=timezone.now()):
            raise InvalidState("This alert does not fire any more.", state=row.state)
        audit(actor, "alert.acknowledge", row.subject_name, target_uid=row.pk)
        _tell(actor)
    return alert_get(actor, alert_id)


def alerts_see(actor: Actor) -> None:
    """The actor has looked: what fires now is not new any more."""
    if actor.user_id is not None:
        AlertsSeen.objects.update_or_create(user_id=actor.user_id, defaults={"seen_at": timezone.now()})


# -- rules -------------------------------------------------------------------------------------------


def rule_create(actor: Actor, given: Mapping[str, Any]) -> AlertRule:
    """Without a project it is the site's, which takes an administrator. Raises ``InvalidInput``,
    ``NameConflict``, ``PermissionDenied``."""
    wanted = given.get("project")
    project = None if wanted is None and actor.is_admin else project_for(actor, wanted)
    action_require(actor, "alert.create", project.pk if project else None)
    if AlertRule.objects.filter(project=project).count() >= _RULES_MAX:
        raise InvalidInput(f"There are {_RULES_MAX} rules there already, which is the most.")
    row = AlertRule(project=project, kind=given["kind"])
    return _rule_saved(actor, row, given, "alert.create")


def rule_update(actor: Actor, id_or_name: str | uuid.UUID, given: Mapping[str, Any]) -> AlertRule:
    """Merge what is given; kind and project stay."""
    row = rule_get(actor, id_or_name)
    action_require(actor, "alert.update", row.project_id)
    return _rule_saved(actor, row, given, "alert.update")


def rule_silence(actor: Actor, id_or_name: str | uuid.UUID, for_s: int) -> AlertRule:
    """Tell no channel for so long; 0 ends the silence."""
    until = timezone.now() + timedelta(seconds=for_s) if for_s else None
    return rule_update(actor, id_or_name, {"silenced_until": until})


def rule_delete(actor: Actor, id_or_name: str | uuid.UUID) -> None:
    """Its alerts go with it."""
    row = rule_get(actor, id_or_name)
    action_require(actor, "alert.delete", row.project_id)
    with transaction.atomic():
        audit(actor, "alert.delete", row.name, target_uid=row.pk, project=row.project_id)
        row.delete()
        _tell(actor)


def _rule_saved(actor: Actor, row: AlertRule, given: Mapping[str, Any], action: str) -> AlertRule:
    if "name" in given:
        row.name = name_check(given["name"])
    for column in _PLAIN:
        if column in given:
            empty: Any = "" if column in ("metric", "action") else None
            setattr(row, column, empty if given[column] is None else given[column])
    if "enabled" in given:
        row.is_enabled = given["enabled"]
    _about(actor, row, given)
    _rule_check(row)
    channels = _channels(actor, row, given["channels"]) if "channels" in given else None
    before = _rule_told(row)
    try:
        with transaction.atomic():
            row.save()
            if channels is not None:
                row.channels.set(channels)
            details = {"kind": row.kind, "severity": row.severity, **changes_of(before, _rule_told(row))}
            audit(actor, action, row.name, target_uid=row.pk, details=details, project=row.project_id)
            _tell(actor)
    except IntegrityError as error:
        raise NameConflict(f"There is already an alert rule “{row.name}”.", name=row.name) from error
    return row


def _rule_told(row: AlertRule) -> dict[str, Any]:
    """For the audit: what the database has of it."""
    names = row.channels.order_by("name").values_list("name", flat=True) if not row._state.adding else ()
    return {**stored(row, "name", "is_enabled", "instance_uid", "node_id", *_PLAIN), "channels": list(names)}


def _about(actor: Actor, row: AlertRule, given: Mapping[str, Any]) -> None:
    """What it is narrowed to."""
    if "instance" in given:
        instance = instance_get(actor, given["instance"]) if given["instance"] else None
        if instance and row.project_id and instance.project_id != row.project_id:
            raise InvalidInput.field("instance", "belongs to another project than the rule.")
        row.instance_uid = instance.pk if instance else None
    if "node" in given:
        row.node = node_get(actor, given["node"]) if given["node"] else None


def _rule_check(row: AlertRule) -> None:
    kind = AlertKind(row.kind)
    if row.project_id is not None and kind in SITE_ALERT_KINDS:
        raise InvalidInput.field("kind", "watches what is the site's, which only rules of the site do.")
    _metric_check(kind, row)
    if row.action and kind is not AlertKind.OPERATION_FAILED:
        raise InvalidInput.field("action", "belongs to operation_failed.")
    if row.instance_uid and kind not in (*_OF_INSTANCES, AlertKind.OPERATION_FAILED):
        raise InvalidInput.field("instance", f"does not belong to {kind}.")
    if row.node_id and kind is AlertKind.OPERATION_FAILED:
        raise InvalidInput.field("node", f"does not belong to {kind}.")


def _metric_check(kind: AlertKind, row: AlertRule) -> None:
    metrics = ALERT_METRICS.get(kind, ())
    if not metrics:
        if row.metric or row.threshold is not None or row.clear_threshold is not None:
            raise InvalidInput.field("metric", f"and thresholds do not belong to {kind}.")
        return
    if len(metrics) == 1:
        row.metric = row.metric or metrics[0]
    if row.metric not in metrics:
        raise InvalidInput.field("metric", f"must be one of {', '.join(metrics)}.")
    if row.threshold is None:
        raise InvalidInput.field("threshold", "is needed to compare with.")
    if kind is AlertKind.BACKUP_OVERDUE and not row.above:
        raise InvalidInput.field("above", "must be true: only a backup that is too old is overdue.")
    _thresholds_check(row)


def _thresholds_check(row: AlertRule) -> None:
    for name in ("threshold", "clear_threshold"):
        value = getattr(row, name)
        if value is not None and (not math.isfinite(value) or not 0 <= value <= 1e18):
            raise InvalidInput.field(name, "must be a number from 0.")
    if row.clear_threshold is None or row.threshold is None:
        return
    if (row.clear_threshold > row.threshold) if row.above else (row.clear_threshold < row.threshold):
        side = "above" if row.above else "below"
        raise InvalidInput.field("clear_threshold", f"must not be {side} the threshold.")


def _channels(actor: Actor, row: AlertRule, names: list[str]) -> list[AlertChannel]:
    """Raises ``InvalidInput`` for one that is not there or is another project's."""
    if len(names) > _CHANNELS_MAX:
        raise InvalidInput.field("channels", f"may be {_CHANNELS_MAX} at most.")
    known = {key: each for each in channels_visible(actor) for key in (each.name, str(each.pk))}
    found = {}
    for name in names:
        channel = known.get(str(name))
        if channel is None or channel.project_id not in (None, row.project_id):
            raise InvalidInput.field("channels", f"there is no channel “{str(name)[:63]}” for this rule.")
        found[channel.pk] = channel
    return list(found.values())


# -- channels ----------------------------------------------------------------------------------------


def channel_create(actor: Actor, given: Mapping[str, Any]) -> tuple[AlertChannel, str]:
    """The channel, and the secret that signs its webhooks, which is shown only now. Raises
    ``InvalidInput``, ``NameConflict``."""
    action_require(actor, "channel.create")
    row = AlertChannel(kind=given["kind"])
    secret = _renewed(row) if row.kind == ChannelKind.WEBHOOK else ""
    return _channel_saved(actor, row, given, "channel.create"), secret


def channel_update(
    actor: Actor, id_or_name: str | uuid.UUID, given: Mapping[str, Any]
) -> tuple[AlertChannel, str]:
    """Merge what is given; ``renew_secret`` makes a new secret, which is returned."""
    action_require(actor, "channel.update")
    row = channel_get(actor, id_or_name)
    secret = _renewed(row) if given.get("renew_secret") and row.kind == ChannelKind.WEBHOOK else ""
    return _channel_saved(actor, row, given, "channel.update"), secret


def channel_delete(actor: Actor, id_or_name: str | uuid.UUID) -> None:
    """Its deliveries go with it."""
    action_require(actor, "channel.delete")
    with transaction.atomic():
        row = channel_get(actor, id_or_name)
        audit(actor, "channel.delete", row.name, target_uid=row.pk)
        row.delete()
        _tell(actor)


def channel_test(actor: Actor, id_or_name: str | uuid.UUID) -> AlertDelivery:
    """Put a test into its outbox."""
    action_require(actor, "channel.test")
    row = channel_get(actor, id_or_name)
    if not row.is_enabled:
        raise InvalidState(f"{row.name} is switched off.", state="disabled")
    with transaction.atomic():
        payload: dict[str, Any] = {"event": "test", "rule": None, "alerts": [], "more": 0}
        delivery = AlertDelivery.objects.create(
            channel=row, event="test", payload=payload, next_try_at=timezone.now()
        )
        audit(actor, "channel.test", row.name, target_uid=row.pk)
    return delivery


def _renewed(row: AlertChannel) -> str:
    secret = secrets.token_urlsafe(32)
    row.secret = seal(secret)
    return secret


def _channel_saved(actor: Actor, row: AlertChannel, given: Mapping[str, Any], action: str) -> AlertChannel:
    before = _channel_told(row)
    if "name" in given:
        row.name = name_check(given["name"])
    if "enabled" in given:
        row.is_enabled = given["enabled"]
    if "project" in given:
        row.project = project_get(actor, given["project"]) if given["project"] else None
    row.config = _config(row, given)
    try:
        with transaction.atomic():
            row.save()
            # Rules of other projects may not use it any more.
            if row.project_id:
                row.rules.through.objects.filter(alertchannel=row).exclude(
                    alertrule__project=row.project_id
                ).delete()
            details = {"kind": row.kind, **changes_of(before, _channel_told(row))}
            audit(actor, action, row.name, target_uid=row.pk, details=details)
            _tell(actor)
    except IntegrityError as error:
        raise NameConflict(f"There is already an alert channel “{row.name}”.", name=row.name) from error
    return row


def _channel_told(row: AlertChannel) -> dict[str, Any]:
    """For the audit: what the database has of it; of a webhook only its host, the path may be a password."""
    found = stored(row, "name", "is_enabled", "project__name", "config")
    config = dict(found.pop("config") or {})
    return {**found, **config, "url": urlsplit(hook_url_shown(row)).netloc.rpartition("@")[2]}


def _config(row: AlertChannel, given: Mapping[str, Any]) -> dict[str, Any]:
    other = ("recipients",) if row.kind == ChannelKind.WEBHOOK else ("url", "allow_internal")
    for name in other:
        if given.get(name):
            raise InvalidInput.field(name, f"does not belong to a channel of the kind {row.kind}.")
    if row.kind == ChannelKind.EMAIL:
        return {"recipients": _recipients(given.get("recipients", row.config.get("recipients", [])))}
    url = str(given["url"] if "url" in given else hook_url(row))
    try:
        url_check(url)
    except ValueError as error:
        raise InvalidInput.field("url", str(error)) from error
    if len(url) > _URL_MAX:
        raise InvalidInput.field("url", f"may have {_URL_MAX} characters at most.")
    return {
        "url": seal(url),
        "allow_internal": bool(given.get("allow_internal", row.config.get("allow_internal"))),
    }


def _recipients(given: list[str]) -> list[str]:
    if not 1 <= len(given) <= _RECIPIENTS_MAX:
        raise InvalidInput.field("recipients", f"must be 1 to {_RECIPIENTS_MAX} addresses.")
    for address in given:
        try:
            validate_email(address)
        except ValidationError as error:
            raise InvalidInput.field("recipients", f"“{str(address)[:80]}” is no mail address.") from error
    return list(dict.fromkeys(given))


def _tell(actor: Actor) -> None:
    """Screens look again. Everyone hears it, so it names nothing."""
    event_publish(Fact("alert.changed", "Alerts were changed.", username=actor.username))
