"""What to watch for, what was found, whom to tell, and what was told."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from compute.models.node import Node
from compute.models.project import Project
from compute.states import AlertKind, AlertState, ChannelKind, DeliveryState, Severity

_ACTIVE = [AlertState.PENDING.value, AlertState.FIRING.value]


class AlertChannel(models.Model):
    """A way to tell somebody. Made by administrators; of one project, or for all rules."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63, unique=True)
    kind = models.CharField(max_length=16, choices=ChannelKind.choices())
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, related_name="alert_channels"
    )
    is_enabled = models.BooleanField(default=True)
    # webhook: url, allow_internal; email: recipients.
    config = models.JSONField(default=dict)
    # The webhook's signing key, sealed; shown once, when it is made.
    secret = models.TextField(default="", blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AlertRule(models.Model):
    """Without a project it watches the whole site. ``metric``, ``above``, ``threshold`` and
    ``clear_threshold`` (hysteresis) belong to the kinds that measure; ``action`` to failed operations."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63)
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, related_name="alert_rules"
    )
    kind = models.CharField(max_length=32, choices=AlertKind.choices())
    severity = models.CharField(max_length=16, choices=Severity.choices(), default=Severity.WARNING.value)
    is_enabled = models.BooleanField(default=True)
    metric = models.CharField(max_length=32, blank=True)
    above = models.BooleanField(default=True)
    threshold = models.FloatField(null=True, blank=True)
    clear_threshold = models.FloatField(null=True, blank=True)
    for_s = models.PositiveIntegerField(default=0)
    # Narrowed to one thing; by value, it may be gone.
    instance_uid = models.UUIDField(null=True, blank=True)
    node = models.ForeignKey(Node, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    action = models.CharField(max_length=64, blank=True)
    channels = models.ManyToManyField(AlertChannel, blank=True, related_name="rules")
    silenced_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="alert_rule_name_once"),
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(project=None), name="alert_rule_of_site_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Alert(models.Model):
    """What one rule found about one thing: at most one that is not over."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="alerts")
    subject = models.CharField(max_length=120)
    subject_name = models.CharField(max_length=255)
    project_uid = models.UUIDField(null=True, db_index=True)
    instance_uid = models.UUIDField(null=True, db_index=True)
    node_uid = models.UUIDField(null=True)
    severity = models.CharField(max_length=16, choices=Severity.choices())
    state = models.CharField(max_length=16, choices=AlertState.choices())
    message = models.CharField(max_length=500)
    value = models.FloatField(null=True)
    # The condition holds since then; what is pending has not held for long enough.
    started_at = models.DateTimeField()
    fired_at = models.DateTimeField(null=True, db_index=True)
    resolved_at = models.DateTimeField(null=True)
    # The channels were told that it fires (not while its rule is silenced).
    is_told = models.BooleanField(default=False)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    acknowledged_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"],
                condition=models.Q(state__in=_ACTIVE),
                name="one_active_alert",
            )
        ]
        indexes = [models.Index(fields=["state", "-fired_at"])]

    def __str__(self) -> str:
        return f"{self.state}: {self.message}"


class AlertDelivery(models.Model):
    """The outbox of a channel, and its log."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=32)
    payload = models.JSONField(default=dict)
    state = models.CharField(
        max_length=16, choices=DeliveryState.choices(), default=DeliveryState.QUEUED.value
    )
    attempts = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    status = models.PositiveIntegerField(null=True)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["state", "next_try_at"])]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel_id}: {self.state}"


class AlertsSeen(models.Model):
    """Up to when somebody has looked at the alerts: what fired later is new to them."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} {self.seen_at}"
