"""Bodies and answers of ``/alerts``."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.states import ALERT_METRICS, AlertKind, AlertState, ChannelKind, Severity

_METRICS = sorted({metric for metrics in ALERT_METRICS.values() for metric in metrics})
_YEAR_S = 366 * 86400


def _choices(words: Any) -> list[str]:
    return [word.value for word in words]


class AlertRef(s.Serializer[Any]):
    id = s.UUIDField()
    name = s.CharField()


class AlertShape(s.Serializer[Any]):
    id = s.UUIDField()
    rule = AlertRef()
    kind = s.CharField(help_text=", ".join(_choices(AlertKind)))
    severity = s.CharField(help_text=", ".join(_choices(Severity)))
    state = s.CharField(help_text=", ".join(_choices(AlertState)))
    subject = s.CharField()
    instance = s.UUIDField(allow_null=True)
    node = s.UUIDField(allow_null=True)
    project = s.UUIDField(allow_null=True)
    message = s.CharField()
    value = s.FloatField(allow_null=True)
    started_at = s.DateTimeField()
    fired_at = s.DateTimeField(allow_null=True)
    resolved_at = s.DateTimeField(allow_null=True)
    acknowledged_by = s.CharField(allow_null=True)
    acknowledged_at = s.DateTimeField(allow_null=True)


class AlertPage(s.Serializer[Any]):
    items = AlertShape(many=True)
    total = s.IntegerField()
    page = s.IntegerField()
    page_size = s.IntegerField()


class AlertRuleShape(s.Serializer[Any]):
    id = s.UUIDField()
    name = s.CharField()
    project = AlertRef(allow_null=True, help_text="null: of the site.")
    kind = s.CharField()
    severity = s.CharField()
    enabled = s.BooleanField()
    metric = s.CharField(allow_null=True)
    above = s.BooleanField()
    threshold = s.FloatField(allow_null=True)
    clear_threshold = s.FloatField(allow_null=True)
    for_s = s.IntegerField()
    instance = s.UUIDField(allow_null=True)
    node = s.UUIDField(allow_null=True)
    action = s.CharField(allow_null=True)
    channels = s.ListField(child=s.CharField())
    silenced_until = s.DateTimeField(allow_null=True)
    created_at = s.DateTimeField()


class AlertRulePage(s.Serializer[Any]):
    items = AlertRuleShape(many=True)
    total = s.IntegerField()
    page = s.IntegerField()
    page_size = s.IntegerField()


class AlertRuleUpdateRequest(s.Serializer[Any]):
    name = s.CharField(max_length=63, required=False)
    severity = s.ChoiceField(_choices(Severity), required=False)
    enabled = s.BooleanField(required=False)
    metric = s.CharField(max_length=32, required=False, allow_null=True, help_text=", ".join(_METRICS))
    above = s.BooleanField(required=False)
    threshold = s.FloatField(required=False, allow_null=True)
    clear_threshold = s.FloatField(required=False, allow_null=True, help_text="It is over at this value.")
    for_s = s.IntegerField(min_value=0, max_value=86400, required=False)
    instance = s.CharField(max_length=255, required=False, allow_null=True)
    node = s.CharField(max_length=63, required=False, allow_null=True)
    action = s.CharField(max_length=64, required=False, allow_null=True, help_text="instance.start, backup …")
    channels = s.ListField(child=s.CharField(max_length=63), required=False)
    silenced_until = s.DateTimeField(required=False, allow_null=True)


class AlertRuleCreateRequest(AlertRuleUpdateRequest):
    name = s.CharField(max_length=63)
    kind = s.ChoiceField(_choices(AlertKind))
    project = s.CharField(max_length=63, required=False, allow_null=True)


class AlertSilenceRequest(s.Serializer[Any]):
    for_s = s.IntegerField(min_value=0, max_value=_YEAR_S, help_text="0 ends the silence.")


class AlertChannelShape(s.Serializer[Any]):
    id = s.UUIDField()
    name = s.CharField()
    kind = s.CharField(help_text=", ".join(_choices(ChannelKind)))
    project = AlertRef(allow_null=True, help_text="null: for all rules.")
    enabled = s.BooleanField()
    url = s.CharField(allow_null=True, help_text="For administrators.")
    allow_internal = s.BooleanField(allow_null=True)
    recipients = s.ListField(child=s.CharField(), allow_null=True)
    signed = s.BooleanField()
    created_at = s.DateTimeField()
    secret = s.CharField(required=False, help_text="Only in the answer that made it.")


class AlertChannelPage(s.Serializer[Any]):
    items = AlertChannelShape(many=True)
    total = s.IntegerField()
    page = s.IntegerField()
    page_size = s.IntegerField()


class AlertChannelBase(s.Serializer[Any]):
    enabled = s.BooleanField(required=False)
    project = s.CharField(max_length=63, required=False, allow_null=True)
    url = s.CharField(max_length=1000, required=False)
    allow_internal = s.BooleanField(required=False, help_text="Let it reach addresses inside.")
    recipients = s.ListField(child=s.CharField(max_length=254), required=False)


class AlertChannelCreateRequest(AlertChannelBase):
    name = s.CharField(max_length=63)
    kind = s.ChoiceField(_choices(ChannelKind))


class AlertChannelUpdateRequest(AlertChannelBase):
    name = s.CharField(max_length=63, required=False)
    renew_secret = s.BooleanField(required=False)


class AlertDeliveryShape(s.Serializer[Any]):
    id = s.UUIDField()
    event = s.CharField()
    state = s.CharField()
    attempts = s.IntegerField()
    status = s.IntegerField(allow_null=True, help_text="Of the receiver's answer.")
    error = s.CharField(allow_null=True)
    next_try_at = s.DateTimeField(allow_null=True)
    created_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)


class AlertDeliveryPage(s.Serializer[Any]):
    items = AlertDeliveryShape(many=True)
    total = s.IntegerField()
    page = s.IntegerField()
    page_size = s.IntegerField()
