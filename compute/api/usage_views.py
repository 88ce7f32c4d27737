"""``…/usage/history``: the past of usage, as series."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

from django.http.response import HttpResponseBase
from django.utils.dateparse import parse_datetime
from rest_framework import serializers as s
from rest_framework.request import Request

from compute.api.base import ApiView
from compute.api.schema import api
from compute.errors import InvalidInput
from compute.selectors.usage import (
    Span,
    cluster_history,
    instance_history,
    node_history,
    project_history,
    span_for,
)
from compute.services.projects import project_get

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}
_LENGTH = re.compile(r"(\d{1,9})([smhd]?)")
_QUERY = ("start", "end", "interval")


class UsageColumnsShape(s.Serializer[Any]):
    avg = s.ListField(child=s.FloatField(allow_null=True))
    min = s.ListField(child=s.FloatField(allow_null=True), required=False)
    max = s.ListField(child=s.FloatField(allow_null=True), required=False)


class UsageSeriesShape(s.Serializer[Any]):
    cpu_percent = UsageColumnsShape(help_text="Of one core.")
    memory_bytes = UsageColumnsShape()
    network_rx_bytes_per_s = UsageColumnsShape()
    network_tx_bytes_per_s = UsageColumnsShape()
    disk_read_bytes_per_s = UsageColumnsShape()
    disk_write_bytes_per_s = UsageColumnsShape()
    storage_used_bytes = UsageColumnsShape(
        required=False, help_text="Of nodes, and of containers: what they wrote into their own layers."
    )


class UsageHistoryShape(s.Serializer[Any]):
    start = s.DateTimeField()
    end = s.DateTimeField()
    interval_s = s.IntegerField(help_text="What each point sums up; may be more than was asked for.")
    resolution_s = s.IntegerField(help_text="Of the stored points that were read.")
    timestamps = s.ListField(child=s.DateTimeField(), help_text="The beginning of each point's time.")
    series = UsageSeriesShape(help_text="A value for each timestamp; null where nothing was measured.")


class _History(ApiView):
    def span(self) -> Span:
        asked = self.query({"start": _moment, "end": _moment, "interval": _length})
        return span_for(asked.get("start"), asked.get("end"), asked.get("interval"))


class InstanceUsageHistory(_History):
    @api("instances", "What it has used: series of points", response=UsageHistoryShape, query=_QUERY)
    def get(self, request: Request, instance_id: str) -> HttpResponseBase:
        return self.answer(instance_history(self.actor, instance_id, self.span()))


class NodeUsageHistory(_History):
    @api("nodes", "What the host has used: series of points", response=UsageHistoryShape, query=_QUERY)
    def get(self, request: Request, node_id: str) -> HttpResponseBase:
        return self.answer(node_history(self.actor, node_id, self.span()))


class ProjectUsageHistory(_History):
    @api("projects", "What its instances have used together", response=UsageHistoryShape, query=_QUERY)
    def get(self, request: Request, project_id: str) -> HttpResponseBase:
        return self.answer(project_history(project_get(self.actor, project_id), self.span()))


class ClusterUsageHistory(_History):
    @api("cluster", "What all hosts have used together", response=UsageHistoryShape, query=_QUERY)
    def get(self, request: Request) -> HttpResponseBase:
        return self.answer(cluster_history(self.actor, self.span()))


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _moment(name: str, value: str) -> datetime:
    """RFC 3339, or a length of time before now: ``-1h``."""
    if value.startswith("-"):
        try:
            return datetime.now(timezone.utc) - timedelta(seconds=_length(name, value[1:]))
        except OverflowError as error:
            raise InvalidInput.field(name, "is too long ago.") from error
    try:
        found = parse_datetime(value.replace(" ", "+"))
        if found is None:
            raise ValueError(value)
        found = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
        if not 1970 <= found.year < 3000:
            raise ValueError(value)
        # Nothing was measured before it.
        return max(found, _EPOCH)
    except ValueError as error:
        raise InvalidInput.field(name, "must be RFC 3339, such as 2026-01-31T12:00:00Z, or -1h.") from error


def _length(name: str, value: str) -> int:
    """Seconds; ``90``, ``30s``, ``5m``, ``1h``, ``7d``."""
    found = _LENGTH.fullmatch(value)
    if found is None or not value.isascii():
        raise InvalidInput.field(name, "must be seconds, or such as 30s, 5m, 1h, 7d.")
    return int(found[1]) * _UNIT_S[found[2]]
