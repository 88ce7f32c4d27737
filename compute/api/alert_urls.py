"""Routes of alerts."""

from __future__ import annotations

from django.urls import path

from compute.api import alert_views as v

_CHANNEL = "alerts/channels/<str:channel_id>"
urlpatterns = [
    path("alerts", v.Alerts.as_view()),
    path("alerts/rules", v.AlertRules.as_view()),
    path("alerts/rules/<str:rule_id>", v.AlertRuleDetail.as_view()),
    path("alerts/rules/<str:rule_id>/silence", v.AlertRuleSilence.as_view()),
    path("alerts/channels", v.AlertChannels.as_view()),
    path(_CHANNEL, v.AlertChannelDetail.as_view()),
    path(f"{_CHANNEL}/test", v.AlertChannelTest.as_view()),
    path(f"{_CHANNEL}/deliveries", v.AlertChannelDeliveries.as_view()),
    path("alerts/<str:alert_id>", v.AlertDetail.as_view()),
    path("alerts/<str:alert_id>/acknowledge", v.AlertAcknowledge.as_view()),
]
