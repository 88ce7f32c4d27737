"""Shapes of ``/docker/containers``: requests (checked) and answers (for the schema)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import (
    ExecRequest,
    ExecShape,
    InstanceShape,
    KillRequest,
    OperationShape,
    Paged,
    ResourcesShape,
    RestartPolicyShape,
    RestartRequest,
    StopRequest,
    UsageShape,
)

__all__ = [
    "ExecRequest",
    "ExecShape",
    "KillRequest",
    "RestartRequest",
    "StopRequest",
    "UsageShape",
]

Base = s.Serializer


def _texts(help_text: str = "") -> s.ListField:
    child = s.CharField(allow_blank=True, trim_whitespace=False)
    return s.ListField(child=child, required=False, allow_null=True, help_text=help_text)


def _text(help_text: str = "") -> s.CharField:
    return s.CharField(
        required=False, allow_null=True, allow_blank=True, trim_whitespace=False, help_text=help_text
    )


def _flag(help_text: str = "") -> s.BooleanField:
    return s.BooleanField(required=False, allow_null=True, help_text=help_text)


def _number(help_text: str = "") -> s.IntegerField:
    return s.IntegerField(required=False, allow_null=True, help_text=help_text)


def _any(help_text: str) -> s.JSONField:
    return s.JSONField(required=False, allow_null=True, help_text=help_text)


_ADMIN = " Administrators only."


class ContainerConfig(Base[Any]):
    """Every field of a container's configuration; the engine's checks of values come after these."""

    image = _text("nginx:1.27")
    registry = _text("The stored registry whose credentials pull it.")
    pull = _text("missing, always or never.")
    command = _texts()
    entrypoint = _texts()
    env = _any('{"NAME": "value"}')
    working_dir = _text()
    user = _text()
    hostname = _text()
    domainname = _text()
    tty = _flag()
    stdin_open = _flag()
    stop_signal = _text("SIGTERM")
    stop_timeout = _number("Seconds.")
    health_check = _any('{"test", "interval", "timeout", "start_period", "retries"}; seconds.')
    volumes = _texts("volume:/path[:ro], /host:/path[:ro] (administrators only), or /path (anonymous).")
    volumes_from = _texts(_ADMIN)
    tmpfs = _texts("/run or /run:size=64m,mode=1777.")
    ports = _any('["[address:][host:]container[/protocol]"]')
    publish_all_ports = _flag()
    network_mode = _text("A network, bridge or none; host and container:… for administrators only.")
    networks = _any('[{"network", "ip_address", "ipv6_address", "mac_address", "aliases"}] or names.')
    dns = _texts()
    dns_search = _texts()
    dns_options = _texts()
    extra_hosts = _texts("name:address")
    restart_policy = _any('{"policy", "maximum_retry_count"} or the policy alone.')
    init = _flag("A small init as first process.")
    read_only = _flag()  # type: ignore[assignment]
    privileged = _flag(_ADMIN)
    capabilities = _any('{"add" (administrators only), "drop"}')
    security_opt = _texts("no-new-privileges; others for administrators only.")
    devices = _any('["/dev/fuse"].' + _ADMIN)
    device_cgroup_rules = _texts(_ADMIN)
    gpus = _any("“all” or a number." + _ADMIN)
    group_add = _texts(_ADMIN)
    pid_mode = _text("host and container:… for administrators only.")
    ipc_mode = _text("private, shareable; host and container:… for administrators only.")
    uts_mode = _text(_ADMIN)
    userns_mode = _text(_ADMIN)
    cgroupns_mode = _text("private; host for administrators only.")
    cgroup_parent = _text(_ADMIN)
    runtime = _text(_ADMIN)
    sysctls = _any("{name: value}." + _ADMIN)
    ulimits = _any('{"nofile": 1024} or with soft and hard.' + _ADMIN)
    oom_score_adj = _number(_ADMIN)
    oom_kill_disable = _flag(_ADMIN)
    pids_limit = _number()
    memory_reservation = _number("Bytes.")
    memory_swap = _number("Bytes of memory and swap together; -1 (no limit) for administrators only.")
    memory_swappiness = _number("0 to 100.")
    shm_size = _number("Bytes.")
    cpu_shares = _number("Relative weight; 1024 is usual.")
    cpuset_cpus = _text("0-3")
    blkio_weight = _number(_ADMIN)
    log_driver = _text("json-file, local, none; others for administrators only.")
    log_options = _any('{"max-size": "10m"}')


class ContainerCreateRequest(ContainerConfig):
    name = s.CharField(max_length=63)
    config = s.DictField(required=False, help_text="The fields of a configuration may stand here instead.")
    project = s.CharField(required=False, allow_null=True, max_length=100)
    resources = s.DictField(required=False)
    labels = s.DictField(required=False)
    annotations = s.DictField(required=False)
    auto_start = s.BooleanField(required=False, default=True)


class ContainerRecreateRequest(ContainerConfig):
    config = s.DictField(required=False, help_text="Only what changes; may stand beside this instead.")
    resources = s.DictField(required=False)
    labels = s.DictField(required=False)
    health_timeout = s.FloatField(required=False, help_text="Seconds until it must be healthy; 60.")
    stop_timeout = s.FloatField(  # type: ignore[assignment]
        required=False, help_text="Seconds that the old one has to stop; 10."
    )


class RenameRequest(Base[Any]):
    name = s.CharField(max_length=63)


class ContainerUpdateRequest(Base[Any]):
    resources = ResourcesShape(required=False)
    restart_policy = RestartPolicyShape(required=False)
    pids_limit = s.IntegerField(required=False)
    memory_reservation = s.IntegerField(required=False, help_text="Bytes.")
    memory_swap = s.IntegerField(required=False, help_text="Bytes of memory and swap together.")
    cpu_shares = s.IntegerField(required=False)
    cpuset_cpus = s.CharField(required=False, allow_blank=True)
    blkio_weight = s.IntegerField(required=False)


class WaitRequest(Base[Any]):
    condition = s.ChoiceField(["not-running", "next-exit", "removed"], required=False, default="not-running")
    timeout = s.FloatField(required=False, default=30.0, min_value=0.1, max_value=600, help_text="Seconds.")


class WaitShape(Base[Any]):
    exit_code = s.IntegerField(allow_null=True)
    timed_out = s.BooleanField()
    condition = s.CharField()


class ResizeRequest(Base[Any]):
    height = s.IntegerField(min_value=1, max_value=1000)
    width = s.IntegerField(min_value=1, max_value=1000)


class CommitRequest(Base[Any]):
    repo = s.CharField(max_length=255)
    tag = s.CharField(required=False, max_length=128)
    message = s.CharField(required=False, allow_blank=True, max_length=1000)
    author = s.CharField(required=False, allow_blank=True, max_length=255)
    pause = s.BooleanField(required=False, default=True)
    changes = s.ListField(
        child=s.CharField(max_length=1000), required=False, max_length=64, help_text='["CMD [\\"serve\\"]"]'
    )


class PruneRequest(Base[Any]):
    dry_run = s.BooleanField(required=False, default=False)
    project = s.CharField(required=False, allow_null=True, max_length=100)


class ContainerPage(Paged):
    items = InstanceShape(many=True)


class ProcessShape(Base[Any]):
    status = s.CharField()
    running = s.BooleanField()
    paused = s.BooleanField()
    restarting = s.BooleanField()
    oom_killed = s.BooleanField()
    dead = s.BooleanField()
    exit_code = s.IntegerField(allow_null=True)
    error = s.CharField()
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)


class HealthLogShape(Base[Any]):
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)
    exit_code = s.IntegerField(allow_null=True)
    output = s.CharField(help_text="Masked without the permission console.")


class HealthCheckShape(Base[Any]):
    status = s.CharField()
    failing_streak = s.IntegerField()
    log = HealthLogShape(many=True)


class MountShape(Base[Any]):
    type = s.CharField()
    name = s.CharField()
    source = s.CharField(help_text="Of a path of the host.")  # type: ignore[assignment]
    target = s.CharField()
    driver = s.CharField()
    read_only = s.BooleanField()  # type: ignore[assignment]
    propagation = s.CharField()


class EndpointShape(Base[Any]):
    network = s.CharField()
    network_id = s.CharField()
    ip_address = s.CharField()
    ip_prefix_length = s.IntegerField()
    gateway = s.CharField()
    ipv6_address = s.CharField()
    ipv6_prefix_length = s.IntegerField()
    ipv6_gateway = s.CharField()
    mac_address = s.CharField()
    aliases = s.ListField(child=s.CharField())
    fixed_ip_address = s.CharField()
    fixed_ipv6_address = s.CharField()


class ContainerDetailShape(InstanceShape):
    image_id = s.CharField()
    path = s.CharField()
    args = s.ListField(child=s.CharField())
    platform = s.CharField()
    driver = s.CharField()
    restart_count = s.IntegerField()
    process = ProcessShape()
    health_check = HealthCheckShape(allow_null=True)
    mounts = MountShape(many=True)
    endpoints = EndpointShape(many=True)
    host = s.DictField()
    exposed_ports = s.ListField(child=s.CharField())
    size_rw_bytes = s.IntegerField(allow_null=True, help_text="With size=true.")
    size_root_bytes = s.IntegerField(allow_null=True, help_text="With size=true.")


class TopShape(Base[Any]):
    titles = s.ListField(child=s.CharField())
    processes = s.ListField(child=s.ListField(child=s.CharField()))
    truncated = s.BooleanField()


class ChangeShape(Base[Any]):
    path = s.CharField()
    kind = s.ChoiceField(["modified", "added", "deleted"])


class ChangesShape(Base[Any]):
    items = ChangeShape(many=True)
    total = s.IntegerField()
    truncated = s.BooleanField()


class PrunedShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    size_bytes = s.IntegerField()


class SkippedShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    reason = s.CharField()


class PruneShape(Base[Any]):
    operation = OperationShape()
    dry_run = s.BooleanField()
    items = PrunedShape(many=True)
    skipped = SkippedShape(many=True)
    count = s.IntegerField()
    space_reclaimed_bytes = s.IntegerField()


CONFIG_FIELDS = frozenset(ContainerConfig().fields)
