"""Shapes of requests (checked) and of answers (for the schema)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.states import InstanceState, InstanceType, OperationState, Role

Base = s.Serializer


class Cpu(Base[Any]):
    cores = s.FloatField(required=False, allow_null=True)


class Memory(Base[Any]):
    limit = s.IntegerField(required=False, allow_null=True, help_text="Bytes.")


class Storage(Base[Any]):
    total_space = s.IntegerField(required=False, allow_null=True, help_text="Bytes.")


class ResourcesShape(Base[Any]):
    cpu = Cpu(required=False)
    memory = Memory(required=False)
    storage = Storage(required=False)


class InstanceCreateRequest(Base[Any]):
    name = s.CharField(max_length=63)
    backend = s.CharField(required=False, allow_null=True, max_length=32)
    node = s.CharField(required=False, allow_null=True, max_length=100)
    node_labels = s.DictField(required=False, help_text="Instead of a name: what its node must bear.")
    project = s.CharField(required=False, allow_null=True, max_length=100)
    type = s.CharField(required=False, allow_null=True, max_length=32)
    config = s.DictField(required=False, help_text="The backend's own part; see the documentation.")
    resources = s.DictField(required=False)
    networks = s.JSONField(required=False)
    storage = s.JSONField(required=False)
    labels = s.DictField(required=False)
    annotations = s.DictField(required=False)
    auto_start = s.BooleanField(required=False, help_text="True if it is not given.")
    template = s.CharField(required=False, allow_null=True, max_length=100)
    template_version = s.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**31 - 1)
    parameters = s.DictField(required=False, help_text="Of the template, by name.")


class RestartPolicyShape(Base[Any]):
    policy = s.ChoiceField(["no", "always", "unless-stopped", "on-failure"])
    maximum_retry_count = s.IntegerField(required=False, min_value=0, max_value=1000)


class InstanceUpdateRequest(Base[Any]):
    name = s.CharField(required=False, max_length=63)
    resources = s.DictField(required=False)
    restart_policy = RestartPolicyShape(required=False)
    labels = s.DictField(required=False)
    annotations = s.DictField(required=False)


class StopRequest(Base[Any]):
    force = s.BooleanField(required=False)
    timeout = s.FloatField(required=False, help_text="Seconds until it is killed.")


class RestartRequest(Base[Any]):
    timeout = s.FloatField(required=False)


class KillRequest(Base[Any]):
    signal = s.CharField(required=False, max_length=16)


class ExecRequest(Base[Any]):
    command = s.ListField(
        child=s.CharField(allow_blank=True, max_length=65536, trim_whitespace=False),
        min_length=1,
        max_length=256,
        help_text="The program and its arguments; no shell reads them.",
    )
    env = s.DictField(child=s.CharField(allow_blank=True, trim_whitespace=False), required=False)
    work_dir = s.CharField(required=False, allow_blank=True, max_length=4096)
    user = s.CharField(required=False, allow_blank=True, max_length=256)
    timeout = s.FloatField(required=False, help_text="Seconds, 0.1 to 300; 30 if not given.")


class ExecShape(Base[Any]):
    exit_code = s.IntegerField(allow_null=True, help_text="Null when its time was over.")
    stdout = s.CharField(allow_blank=True)
    stderr = s.CharField(allow_blank=True)
    timed_out = s.BooleanField()
    truncated = s.BooleanField(help_text="An output was cut off, and says so at its end.")
    duration_ms = s.IntegerField()


class NodeRef(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    status = s.CharField()


class ProjectRef(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()


class ActiveOperation(Base[Any]):
    id = s.UUIDField()
    action = s.CharField(help_text="starting, stopping, creating …")
    state = s.CharField()
    progress = s.FloatField()
    step = s.CharField()


class InstanceShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    uuid = s.CharField()
    type = s.ChoiceField([word.value for word in InstanceType])
    backend = s.CharField()
    node = NodeRef()
    project = ProjectRef()
    state = s.ChoiceField([word.value for word in InstanceState])
    status = s.CharField(help_text="A sentence.")
    health = s.CharField()
    stale = s.BooleanField(help_text="The node does not answer; this is what was last seen.")
    active_operation = ActiveOperation(allow_null=True)
    engine_id = s.CharField()
    image = s.CharField()
    config = s.DictField()
    resources = ResourcesShape()
    networks = s.ListField(child=s.DictField())
    storage = s.ListField(child=s.DictField())
    ports = s.ListField(child=s.DictField())
    labels = s.DictField()
    annotations = s.DictField()
    managed = s.BooleanField(help_text="LibGo made it, or a project adopted it.")
    pending_changes = s.DictField()
    created_at = s.DateTimeField()
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)
    updated_at = s.DateTimeField()
    links = s.DictField()


class ErrorPart(Base[Any]):
    code = s.CharField()
    message = s.CharField()
    details = s.DictField()


class OperationChild(Base[Any]):
    """One part of an operation that consists of others."""

    id = s.UUIDField(allow_null=True, help_text="Null while it waits, and when it was refused at once.")
    instance = s.UUIDField(allow_null=True)
    instance_name = s.CharField()
    target = s.CharField()
    state = s.ChoiceField(["waiting", *(word.value for word in OperationState)])
    progress = s.FloatField()
    step = s.CharField()
    error = ErrorPart(allow_null=True)


class OperationShape(Base[Any]):
    id = s.UUIDField()
    action = s.CharField()
    state = s.ChoiceField([word.value for word in OperationState])
    progress = s.FloatField()
    step = s.CharField()
    instance = s.UUIDField(allow_null=True)
    instance_name = s.CharField()
    target = s.CharField(help_text="What it works on when that is no instance.")
    node = s.UUIDField(allow_null=True)
    project = s.UUIDField(allow_null=True)
    user = s.CharField(allow_null=True)
    error = ErrorPart(allow_null=True)
    cleanup_needed = s.BooleanField(
        help_text="Something it had made could not be taken back yet; LibGo tries again by itself."
    )
    result = s.DictField()
    created_at = s.DateTimeField()
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)
    may_cancel = s.BooleanField()
    parent = s.UUIDField(allow_null=True)  # type: ignore[assignment]
    children = OperationChild(many=True, required=False, help_text="Of one that consists of others.")


class Accepted(Base[Any]):
    operation = OperationShape(allow_null=True, help_text="Null when nothing had to be done.")
    instance = InstanceShape(required=False)


class Paged(Base[Any]):
    total = s.IntegerField()
    page = s.IntegerField()
    page_size = s.IntegerField()


class InstancePage(Paged):
    instances = InstanceShape(many=True)


class OperationPage(Paged):
    items = OperationShape(many=True)


class AttachedNetwork(Base[Any]):
    network = s.CharField()
    mac_address = s.CharField(allow_blank=True)
    ip_address = s.CharField(allow_blank=True)
    ipv6_address = s.CharField(allow_blank=True)


class AttachedNetworkPage(Paged):
    items = AttachedNetwork(many=True)


class NetworkAttachRequest(Base[Any]):
    network = s.CharField(max_length=128)
    ip_address = s.CharField(max_length=64, required=False, allow_blank=True, allow_null=True)
    ipv6_address = s.CharField(max_length=64, required=False, allow_blank=True, allow_null=True)
    aliases = s.ListField(child=s.CharField(max_length=63), required=False, max_length=16)


class AttachedStorage(Base[Any]):
    name = s.CharField()
    source = s.CharField(allow_blank=True, help_text="A volume, or a path of the host.")  # type: ignore[assignment]
    target = s.CharField()
    size = s.IntegerField(allow_null=True)
    format = s.CharField(allow_blank=True)


class AttachedStoragePage(Paged):
    items = AttachedStorage(many=True)


class StorageAttachRequest(Base[Any]):
    source = s.CharField(max_length=255, required=False)  # type: ignore[assignment]
    target = s.CharField(max_length=255, required=False)
    size = s.IntegerField(required=False, min_value=1, max_value=2**60)
    format = s.CharField(max_length=32, required=False)


class UsageShape(Base[Any]):
    timestamp = s.DateTimeField()
    cpu_percent = s.FloatField(allow_null=True, help_text="Of one core.")
    memory_bytes = s.IntegerField(allow_null=True)
    memory_limit_bytes = s.IntegerField(allow_null=True)
    network_rx_bytes = s.IntegerField(allow_null=True)
    network_tx_bytes = s.IntegerField(allow_null=True)
    disk_read_bytes = s.IntegerField(allow_null=True)
    disk_write_bytes = s.IntegerField(allow_null=True)
    pids = s.IntegerField(allow_null=True)
    storage_used_bytes = s.IntegerField(
        allow_null=True, help_text="In the samples of containers: what they wrote into their own layers."
    )


class EventShape(Base[Any]):
    seq = s.IntegerField()
    type = s.CharField()
    action = s.CharField()
    instance = s.UUIDField(allow_null=True)
    instance_name = s.CharField()
    operation = s.UUIDField(allow_null=True)
    node = s.UUIDField(allow_null=True)
    project = s.UUIDField(allow_null=True)
    user = s.CharField(allow_null=True)
    message = s.CharField()
    details = s.DictField()
    timestamp = s.DateTimeField()


class EventPage(Paged):
    items = EventShape(many=True)


class LogLineShape(Base[Any]):
    text = s.CharField()
    stream = s.CharField()
    timestamp = s.DateTimeField(allow_null=True, required=False)


class LogShape(Base[Any]):
    lines = LogLineShape(many=True)
    text = s.CharField()


class OperationLogLine(Base[Any]):
    seq = s.IntegerField()
    timestamp = s.DateTimeField()
    line = s.CharField()


class OperationLogShape(Base[Any]):
    items = OperationLogLine(many=True)


_NODE_NAME = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$"
_TLS_HELP = "verify (true), ca, cert, key as PEM texts, or ca_path, cert_path, key_path; never read back."
_SSH_HELP = (
    "user, port, key (private, as text) or key_path, host_key or known_hosts; keys are never read back."
)


class NodeDraftRequest(Base[Any]):
    backend = s.CharField(max_length=32)
    url = s.CharField(
        max_length=500, help_text="unix:///…, tcp://host:2376, ssh://user@host, or libvirt's own."
    )
    tls = s.DictField(required=False, allow_null=True, help_text=_TLS_HELP)
    ssh = s.DictField(required=False, allow_null=True, help_text=_SSH_HELP)
    insecure = s.BooleanField(required=False, help_text="Allow TCP without TLS to another machine.")


_RATIO_HELP = "How often it may be given away. null: as the site says; 0: any number of times."


class NodePlacement(Base[Any]):
    """What says which new instances a node takes, and how many."""

    labels = s.DictField(required=False, help_text="By which new instances choose: {zone: a}.")
    cpu_overcommit = s.FloatField(
        required=False, allow_null=True, min_value=0, max_value=1000, help_text=_RATIO_HELP
    )
    memory_overcommit = s.FloatField(
        required=False, allow_null=True, min_value=0, max_value=1000, help_text=_RATIO_HELP
    )


class NodeCreateRequest(NodePlacement, NodeDraftRequest):
    name = s.RegexField(_NODE_NAME)


class NodeUpdateRequest(NodePlacement):
    name = s.RegexField(_NODE_NAME, required=False)
    url = s.CharField(max_length=500, required=False)
    is_enabled = s.BooleanField(required=False)
    tls = s.DictField(required=False, allow_null=True, help_text=_TLS_HELP + " null: no TLS.")
    ssh = s.DictField(required=False, allow_null=True, help_text=_SSH_HELP)
    insecure = s.BooleanField(required=False)


class HostKeyShape(Base[Any]):
    type = s.CharField()
    key = s.CharField(help_text="To be sent as ssh.host_key once it is confirmed.")
    fingerprint = s.CharField()


class NodeTest(Base[Any]):
    ok = s.BooleanField()
    code = s.CharField(allow_null=True)
    reason = s.CharField(allow_null=True, help_text="refused, dns, tls_authority, tls_expired, ssh_auth …")
    message = s.CharField()
    version = s.CharField(allow_null=True)
    api_version = s.CharField(allow_null=True)
    hostname = s.CharField(allow_null=True)
    cpu_cores = s.FloatField(allow_null=True)
    memory_bytes = s.IntegerField(allow_null=True)
    capabilities = s.ListField(child=s.CharField())
    details = s.DictField()
    host_key = HostKeyShape(allow_null=True)


class NodeShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    backend = s.CharField()
    url = s.CharField()
    status = s.CharField()
    version = s.CharField()
    api_version = s.CharField()
    hostname = s.CharField()
    capabilities = s.ListField(child=s.CharField())
    resources = s.DictField()
    details = s.DictField()
    labels = s.DictField(child=s.CharField())
    cpu_overcommit = s.FloatField(allow_null=True, help_text="Null: as the site says; 0: no limit.")
    memory_overcommit = s.FloatField(allow_null=True, help_text="Null: as the site says; 0: no limit.")
    is_local = s.BooleanField()
    is_enabled = s.BooleanField(help_text="Off: LibGo leaves the engine alone; the status is then disabled.")
    insecure = s.BooleanField(help_text="In the clear, or without checking the engine's certificate.")
    last_seen = s.DateTimeField(allow_null=True)
    error = s.CharField()
    created_at = s.DateTimeField()


class NodePage(Paged):
    items = NodeShape(many=True)


class LoginRequest(Base[Any]):
    username = s.CharField(max_length=150)
    password = s.CharField(max_length=1000, trim_whitespace=False)
    code = s.CharField(required=False, max_length=64, help_text="Of the second factor, if it is at hand.")


class RefreshRequest(Base[Any]):
    refresh = s.CharField(max_length=200)


class LogoutRequest(Base[Any]):
    refresh = s.CharField(max_length=200, required=False)


class UserShape(Base[Any]):
    id = s.UUIDField()
    username = s.CharField()
    email = s.CharField()
    is_admin = s.BooleanField()
    is_active = s.BooleanField()
    roles = s.ListField(child=s.CharField())
    language = s.CharField(help_text="Of the pages; empty: as the browser asks.")
    second_factor = s.CharField(help_text="Empty, totp, or provider: the sign-in provider sees to it.")
    directory = s.CharField(help_text="Empty, ldap, or the OpenID issuer that the account comes from.")
    projects = s.ListField(child=s.DictField())


class UserPage(Paged):
    items = UserShape(many=True)


class TokenPairShape(Base[Any]):
    access = s.CharField()
    refresh = s.CharField()
    expires_at = s.DateTimeField()
    user = UserShape()


class TicketShape(Base[Any]):
    ticket = s.CharField()
    expires_at = s.DateTimeField()


class ProfileRequest(Base[Any]):
    email = s.CharField(required=False, allow_blank=True, max_length=254)
    language = s.CharField(
        required=False,
        allow_blank=True,
        max_length=16,
        help_text="Of the pages: en or de; empty: as the browser asks. The API speaks English.",
    )


class PasswordRequest(Base[Any]):
    old_password = s.CharField(max_length=1000, trim_whitespace=False)
    new_password = s.CharField(max_length=1000, trim_whitespace=False)


class UserCreateRequest(Base[Any]):
    username = s.CharField(max_length=150)
    password = s.CharField(max_length=1000, trim_whitespace=False)
    email = s.CharField(required=False, allow_blank=True, max_length=254)
    role = s.ChoiceField([role.value for role in Role], required=False)


class UserUpdateRequest(Base[Any]):
    password = s.CharField(required=False, max_length=1000, trim_whitespace=False)
    email = s.CharField(required=False, allow_blank=True, max_length=254)
    role = s.ChoiceField([role.value for role in Role], required=False)
    is_active = s.BooleanField(required=False)


class ProjectRequest(Base[Any]):
    name = s.CharField(max_length=63)
    description = s.CharField(required=False, allow_blank=True, max_length=500)


class ProjectUpdateRequest(Base[Any]):
    name = s.CharField(max_length=63, required=False)
    description = s.CharField(required=False, allow_blank=True, max_length=500)


class LimitsShape(Base[Any]):
    max_instances = s.IntegerField(required=False, allow_null=True, min_value=0, max_value=10**6)
    max_cpu_cores = s.FloatField(required=False, allow_null=True, min_value=0, max_value=10**6)
    max_memory_bytes = s.IntegerField(required=False, allow_null=True, min_value=0, max_value=2**60)
    max_storage_bytes = s.IntegerField(required=False, allow_null=True, min_value=0, max_value=2**60)


class ProjectShape(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    description = s.CharField()
    is_default = s.BooleanField()
    limits = LimitsShape()


class ProjectPage(Paged):
    items = ProjectShape(many=True)


class MemberRequest(Base[Any]):
    user = s.CharField(max_length=150)
    role = s.ChoiceField([role.value for role in Role])


class MemberShape(Base[Any]):
    user = s.DictField()
    role = s.CharField()


class MemberPage(Paged):
    items = MemberShape(many=True)


class ClusterShape(Base[Any]):
    status = s.CharField()
    backends = s.DictField()
    nodes = NodeShape(many=True)
    total_instances = s.IntegerField()
    limits = s.DictField()
    usage = s.DictField()
    updated_at = s.DateTimeField()


class BackendShape(Base[Any]):
    type = s.CharField()
    version = s.CharField()
    api_version = s.CharField()
    status = s.CharField()
    capabilities = s.ListField(child=s.CharField())
    supported_types = s.ListField(child=s.CharField())
    nodes = NodeShape(many=True)
    health_check = s.DictField()
    resource_limits = s.DictField()
    available_resources = s.DictField()


class BackendPage(Paged):
    items = BackendShape(many=True)


class HealthShape(Base[Any]):
    status = s.CharField()
    backends = s.DictField()
