"""``/alerts``, their rules and channels."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from compute.api import alert_shapes as a
from compute.api.base import PAGING, ApiView, Parse, text
from compute.api.schema import api
from compute.models import AlertRule
from compute.selectors import alerts as found
from compute.selectors.access import action_require
from compute.services import alerts

_TAG = "alerts"
_FILTERS = ("state", "severity", "rule", "instance", "q")
_LIST: dict[str, Parse] = {**PAGING, "q": text}
_PAGE: dict[str, Parse] = {key: PAGING[key] for key in ("page", "page_size")}


class Alerts(ApiView):
    @api(
        _TAG, "What fires first, the gravest on top", response=a.AlertPage, query=(*_FILTERS, *PAGING),
        operation_id="alerts_list_all",
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponseBase:
        known: dict[str, Parse] = {name: text for name in _FILTERS} | PAGING
        return self.answer_page(found.alerts_page(self.actor, found.AlertFilter(**self.query(known))))


class AlertDetail(ApiView):
    @api(_TAG, "One alert", response=a.AlertShape, operation_id="alerts_retrieve_one")
    def get(self, request: Request, alert_id: str) -> HttpResponseBase:
        self.query({})
        row = found.alert_get(self.actor, alert_id)
        return self.answer(found.alert_dict(row, row.rule))


class AlertAcknowledge(ApiView):
    @api(_TAG, "Say that somebody looks after it", response=a.AlertShape, errors=(409,))
    def post(self, request: Request, alert_id: str) -> HttpResponseBase:
        self.body()
        row = alerts.alert_acknowledge(self.actor, alert_id)
        return self.answer(found.alert_dict(row, row.rule))


class AlertRules(ApiView):
    @api(
        _TAG, "All rules", response=a.AlertRulePage, query=tuple(_LIST), operation_id="alerts_rules_list_all"
    )
    def get(self, request: Request) -> HttpResponseBase:
        return self.answer_page(found.rules_page(self.actor, **self.query(_LIST)))

    @api(
        _TAG, "Make one", request=a.AlertRuleCreateRequest, response=a.AlertRuleShape, status=201,
        errors=(409,),
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        row = alerts.rule_create(self.actor, self.body(a.AlertRuleCreateRequest))
        return Response(found.rule_dict(row), status=201)


class AlertRuleDetail(ApiView):
    change_shape = a.AlertRuleUpdateRequest

    @api(_TAG, "One rule, by id or name", response=a.AlertRuleShape, operation_id="alerts_rules_retrieve_one")
    def get(self, request: Request, rule_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(found.rule_dict(found.rule_get(self.actor, rule_id)))

    @api(_TAG, "Change it", request=a.AlertRuleUpdateRequest, response=a.AlertRuleShape, errors=(409, 412))
    def put(self, request: Request, rule_id: str) -> HttpResponseBase:
        body = self.body(a.AlertRuleUpdateRequest)
        row: AlertRule = found.rule_get(self.actor, rule_id)
        self.precondition(found.rule_dict(row))
        return self.answer(found.rule_dict(alerts.rule_update(self.actor, row.pk, body)))

    patch = put

    @api(_TAG, "Remove it, with its alerts", status=204)
    def delete(self, request: Request, rule_id: str) -> HttpResponseBase:
        self.query({})
        alerts.rule_delete(self.actor, rule_id)
        return Response(status=204)


class AlertRuleSilence(ApiView):
    @api(_TAG, "Tell no channel for a while", request=a.AlertSilenceRequest, response=a.AlertRuleShape)
    def put(self, request: Request, rule_id: str) -> HttpResponseBase:
        body = self.body(a.AlertSilenceRequest)
        return self.answer(found.rule_dict(alerts.rule_silence(self.actor, rule_id, body["for_s"])))


class AlertChannels(ApiView):
    @api(
        _TAG, "All channels", response=a.AlertChannelPage, query=tuple(_LIST),
        operation_id="alerts_channels_list_all",
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponseBase:
        return self.answer_page(found.channels_page(self.actor, **self.query(_LIST)))

    @api(
        _TAG, "Make one; the secret is shown only here", request=a.AlertChannelCreateRequest,
        response=a.AlertChannelShape, status=201, errors=(409,),
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        row, secret = alerts.channel_create(self.actor, self.body(a.AlertChannelCreateRequest))
        shown = found.channel_dict(row, self.actor)
        return Response({**shown, "secret": secret} if secret else shown, status=201)


class AlertChannelDetail(ApiView):
    change_shape = a.AlertChannelUpdateRequest

    @api(
        _TAG, "One channel, by id or name", response=a.AlertChannelShape,
        operation_id="alerts_channels_retrieve_one",
    )  # fmt: skip
    def get(self, request: Request, channel_id: str) -> HttpResponseBase:
        self.query({})
        return self.answer(found.channel_dict(found.channel_get(self.actor, channel_id), self.actor))

    @api(
        _TAG, "Change it", request=a.AlertChannelUpdateRequest, response=a.AlertChannelShape,
        errors=(409, 412),
    )  # fmt: skip
    def put(self, request: Request, channel_id: str) -> HttpResponseBase:
        body = self.body(a.AlertChannelUpdateRequest)
        before = found.channel_get(self.actor, channel_id)
        self.precondition(found.channel_dict(before, self.actor))
        row, secret = alerts.channel_update(self.actor, before.pk, body)
        shown = found.channel_dict(row, self.actor)
        return Response({**shown, "secret": secret} if secret else shown)

    patch = put

    @api(_TAG, "Remove it, with its log", status=204)
    def delete(self, request: Request, channel_id: str) -> HttpResponseBase:
        self.query({})
        alerts.channel_delete(self.actor, channel_id)
        return Response(status=204)


class AlertChannelTest(ApiView):
    @api(_TAG, "Send a test by it", response=a.AlertDeliveryShape, status=201, errors=(409,))
    def post(self, request: Request, channel_id: str) -> HttpResponseBase:
        self.body()
        return Response(found.delivery_dict(alerts.channel_test(self.actor, channel_id)), status=201)


class AlertChannelDeliveries(ApiView):
    @api(_TAG, "What was sent by it, newest first", response=a.AlertDeliveryPage, query=tuple(_PAGE))
    def get(self, request: Request, channel_id: str) -> HttpResponseBase:
        asked = self.query(_PAGE)
        channel = found.channel_get(self.actor, channel_id)
        action_require(self.actor, "channel.test")
        return self.answer_page(found.deliveries_page(channel, **asked))
