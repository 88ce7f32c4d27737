"""Shapes of the engine as a whole: of requests (checked) and of answers (for the schema)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, NodeRef, OperationShape


class EngineContainers(Base[Any]):
    total = s.IntegerField()
    running = s.IntegerField()
    paused = s.IntegerField()
    stopped = s.IntegerField()


class EnginePrivate(Base[Any]):
    root_dir = s.CharField()
    http_proxy = s.CharField()
    https_proxy = s.CharField()
    no_proxy = s.CharField()
    insecure_registries = s.ListField(child=s.CharField())
    mirrors = s.ListField(child=s.CharField())
    labels = s.ListField(child=s.CharField())


class EngineInfo(Base[Any]):
    node = NodeRef()
    engine = s.CharField(help_text="docker or podman.")
    id = s.CharField()
    name = s.CharField()
    version = s.CharField()
    api_version = s.CharField()
    operating_system = s.CharField()
    os_type = s.CharField()
    architecture = s.CharField()
    kernel = s.CharField()
    cpu_cores = s.IntegerField()
    memory_bytes = s.IntegerField()
    storage_driver = s.CharField()
    cgroup_driver = s.CharField()
    cgroup_version = s.CharField()
    logging_driver = s.CharField()
    default_runtime = s.CharField()
    runtimes = s.ListField(child=s.CharField())
    security_options = s.ListField(child=s.CharField())
    rootless = s.BooleanField()
    live_restore = s.BooleanField()
    swarm = s.CharField()
    plugins = s.DictField()
    containers = EngineContainers()
    images = s.IntegerField()
    warnings = s.ListField(child=s.CharField(), help_text="The engine's own.")
    advice = s.ListField(child=s.CharField(), help_text="LibGo's: known faults of this version, settings.")
    private = EnginePrivate(allow_null=True, help_text="For administrators; null for others.")


class EnginePart(Base[Any]):
    name = s.CharField()
    version = s.CharField()


class EngineVersion(Base[Any]):
    node = NodeRef()
    engine = s.CharField()
    version = s.CharField()
    api_version = s.CharField()
    min_api_version = s.CharField()
    negotiated_api_version = s.CharField()
    git_commit = s.CharField()
    go_version = s.CharField()
    os = s.CharField()
    architecture = s.CharField()
    kernel = s.CharField()
    build_time = s.CharField()
    components = EnginePart(many=True)


class DiskItem(Base[Any]):
    id = s.CharField()
    name = s.CharField()
    size_bytes = s.IntegerField(allow_null=True)
    in_use = s.BooleanField()
    tags = s.ListField(child=s.CharField())
    state = s.CharField()
    project = s.CharField(allow_null=True)


class DiskPart(Base[Any]):
    count = s.IntegerField()
    in_use = s.IntegerField()
    size_bytes = s.IntegerField()
    reclaimable_bytes = s.IntegerField()
    items = DiskItem(many=True, help_text="Those that you may see, the largest first, at most 500.")


class EngineDisk(Base[Any]):
    node = NodeRef()
    containers = DiskPart()
    images = DiskPart()
    volumes = DiskPart()
    build_cache = DiskPart()
    total_bytes = s.IntegerField()
    reclaimable_bytes = s.IntegerField()
    measured_at = s.DateTimeField()


class SystemPruneRequest(Base[Any]):
    containers = s.BooleanField(required=False, help_text="Those that do not run.")
    networks = s.BooleanField(required=False, help_text="Those without containers.")
    volumes = s.BooleanField(required=False, help_text="Those that no container uses, with their content.")
    images = s.BooleanField(required=False, help_text="Those without a name and without containers.")
    unused_images = s.BooleanField(required=False, help_text="All images without containers.")
    build_cache = s.BooleanField(required=False)
    dry_run = s.BooleanField(required=False, help_text="Only say what would go; alone: of every kind.")


class PrunedPart(Base[Any]):
    count = s.IntegerField()
    removed = s.ListField(child=s.CharField(), required=False)
    reclaimed_bytes = s.IntegerField(required=False)
    reclaimable_bytes = s.IntegerField(required=False, help_text="With dry_run.")
    items = DiskItem(many=True, required=False, help_text="With dry_run, at most 500.")


class PruneKept(Base[Any]):
    kind = s.CharField()
    name = s.CharField()
    reason = s.CharField()


class SystemPruned(Base[Any]):
    dry_run = s.BooleanField(required=False)
    containers = PrunedPart(required=False)
    networks = PrunedPart(required=False)
    volumes = PrunedPart(required=False)
    images = PrunedPart(required=False)
    build_cache = PrunedPart(required=False)
    kept = PruneKept(many=True, required=False, help_text="What could not go, and why.")
    reclaimable_bytes = s.IntegerField(required=False)
    reclaimed_bytes = s.IntegerField(required=False)
    operation = OperationShape(required=False)
