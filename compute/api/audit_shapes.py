"""Shapes of the audit's answers, for the schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.states import Outcome


class AuditRow(s.Serializer[Any]):
    id = s.IntegerField()
    seq = s.IntegerField(allow_null=True, help_text="Its place in the chain; null until it is linked.")
    timestamp = s.DateTimeField()
    user = s.CharField(allow_null=True)
    user_id = s.UUIDField(allow_null=True)
    method = s.CharField(help_text="session, jwt, token, schedule, system", allow_blank=True)
    action = s.CharField()
    target = s.CharField(allow_blank=True)
    target_id = s.UUIDField(allow_null=True)
    project = s.UUIDField(allow_null=True)
    result = s.ChoiceField([word.value for word in Outcome])
    code = s.CharField(help_text="ok, succeeded, exit 1, or the error's code.")
    remote_address = s.CharField(allow_blank=True)
    user_agent = s.CharField(allow_blank=True)
    request_id = s.CharField(allow_blank=True)
    details = s.DictField(help_text="before and after of what was set, secrets masked; and more.")


class AuditPage(s.Serializer[Any]):
    items = AuditRow(many=True)
    total = s.IntegerField()
    page = s.IntegerField()
    page_size = s.IntegerField()


class AuditVerdict(s.Serializer[Any]):
    holds = s.BooleanField()
    rows = s.IntegerField()
    first_seq = s.IntegerField()
    last_seq = s.IntegerField()
    last_hash = s.CharField(allow_blank=True)
    cut_rows = s.IntegerField(help_text="Cut off by the retention rule, with a signed record of it.")
    unsealed = s.IntegerField()
    broken = s.CharField(allow_blank=True)
    broken_seq = s.IntegerField(allow_null=True)
    broken_id = s.IntegerField(allow_null=True)
    warnings = s.ListField(child=s.CharField())
