"""One engine endpoint: a Docker daemon or a libvirt host."""

from __future__ import annotations

import uuid

from django.db import models

from compute.states import NodeStatus


class Node(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63, unique=True)
    backend = models.CharField(max_length=32, db_index=True)
    url = models.CharField(max_length=500)
    # The backend's own keys (TLS files, virt type ...); never shown by the API.
    options = models.JSONField(default=dict, blank=True)
    # What opens it (certificates, keys), sealed with a key outside the database; never read back.
    secrets = models.TextField(default="", blank=True, editable=False)
    # Made from libgo.yaml and the environment at each start, not by hand.
    is_local = models.BooleanField(default=False, editable=False)

    # What an administrator wants.
    is_enabled = models.BooleanField(default=True)
    is_draining = models.BooleanField(default=False)
    # By which new instances choose: {"zone": "a"}.
    labels = models.JSONField(default=dict, blank=True)
    # How often its CPU and memory may be given away. Null: as the site says; 0: any number of times.
    cpu_overcommit = models.FloatField(null=True, blank=True)
    memory_overcommit = models.FloatField(null=True, blank=True)

    # What the watcher saw.
    is_reachable = models.BooleanField(default=False, editable=False)
    error = models.CharField(max_length=1000, blank=True, editable=False)
    version = models.CharField(max_length=64, blank=True, editable=False)
    api_version = models.CharField(max_length=64, blank=True, editable=False)
    hostname = models.CharField(max_length=255, blank=True, editable=False)
    capabilities = models.JSONField(default=list, editable=False)
    cpu_cores = models.FloatField(default=0, editable=False)
    memory_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    storage_total_bytes = models.PositiveBigIntegerField(null=True, editable=False)
    storage_used_bytes = models.PositiveBigIntegerField(null=True, editable=False)
    details = models.JSONField(default=dict, editable=False)
    last_seen = models.DateTimeField(null=True, editable=False)
    # Set when every instance of the engine was listed once; before that, absent means nothing.
    listed_at = models.DateTimeField(null=True, editable=False)

    # One watcher at a time: whose lease it is, and until when (database time).
    watcher = models.CharField(max_length=64, blank=True, editable=False)
    watcher_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def status(self) -> NodeStatus:
        return node_status(self.is_enabled, self.is_reachable, self.is_draining)


def node_status(is_enabled: bool, is_reachable: bool, is_draining: bool) -> NodeStatus:
    """One word for the three flags; what an administrator switched off comes first."""
    if not is_enabled:
        return NodeStatus.DISABLED
    if not is_reachable:
        return NodeStatus.UNREACHABLE
    return NodeStatus.DRAINING if is_draining else NodeStatus.ONLINE
