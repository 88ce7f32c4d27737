"""The pages of alerts."""

from __future__ import annotations

from django.urls import path

from compute.menu import MenuEntry, menu_register
from compute.views import alerts as v

urlpatterns = [
    path("alerts", v.alert_list, name="alerts"),
    path("alerts/bell", v.bell, name="alerts_bell"),
    path("alerts/seen", v.alerts_seen, name="alerts_seen"),
    path("alerts/rules", v.rule_list, name="alert_rules"),
    path("alerts/rules/new", v.rule_edit, name="alert_rule_new"),
    path("alerts/rules/<uuid:rule_id>", v.rule_edit, name="alert_rule"),
    path("alerts/rules/<uuid:rule_id>/remove", v.rule_remove, name="alert_rule_remove"),
    path("alerts/rules/<uuid:rule_id>/silence", v.rule_silence, name="alert_rule_silence"),
    path("alerts/channels", v.channel_list, name="alert_channels"),
    path("alerts/channels/new", v.channel_edit, name="alert_channel_new"),
    path("alerts/channels/<uuid:channel_id>", v.channel_edit, name="alert_channel"),
    path("alerts/channels/<uuid:channel_id>/remove", v.channel_remove, name="alert_channel_remove"),
    path("alerts/channels/<uuid:channel_id>/test", v.channel_test, name="alert_channel_test"),
    path("alerts/channels/<uuid:channel_id>/log", v.channel_log, name="alert_channel_log"),
    path("alerts/<uuid:alert_id>/acknowledge", v.acknowledge, name="alert_acknowledge"),
]
menu_register(
    MenuEntry("Activity", "Alerts", "alerts", "alert.read", 30, "alert"),
)
