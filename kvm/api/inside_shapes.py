"""What the routes about the inside of a machine take and answer."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from compute.api.serializers import OperationShape


class CloudInitFields(serializers.Serializer[Any]):
    user_data = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, trim_whitespace=False, max_length=65536
    )
    meta_data = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, trim_whitespace=False, max_length=65536
    )
    network_config = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, trim_whitespace=False, max_length=65536
    )
    hostname = serializers.CharField(required=False, allow_null=True, max_length=63)
    users = serializers.ListField(required=False, allow_null=True, max_length=64)
    ssh_keys = serializers.ListField(
        child=serializers.CharField(max_length=16384), required=False, allow_null=True, max_length=64
    )
    packages = serializers.ListField(required=False, allow_null=True, max_length=64)
    run_commands = serializers.ListField(required=False, allow_null=True, max_length=64)
    write_files = serializers.ListField(
        child=serializers.DictField(), required=False, allow_null=True, max_length=64
    )


class CloudInitRequest(CloudInitFields):
    rerun = serializers.BooleanField(
        required=False, help_text="Give it another instance-id, so that the guest runs all of it again."
    )


class CloudInitShape(CloudInitFields):
    has_seed = serializers.BooleanField()
    instance_id = serializers.CharField(allow_null=True)
    structured = serializers.BooleanField(help_text="Whether the single fields say all of user_data.")


class CloudInitDone(serializers.Serializer[Any]):
    waits_for_start = serializers.BooleanField(help_text="It runs, and sees it after it was off.")
    operation = OperationShape()


class GuestAgentShape(serializers.Serializer[Any]):
    version = serializers.CharField(allow_null=True)


class GuestOsShape(serializers.Serializer[Any]):
    id = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    pretty_name = serializers.CharField(allow_null=True)
    version = serializers.CharField(allow_null=True)
    kernel = serializers.CharField(allow_null=True)
    machine = serializers.CharField(allow_null=True)


class GuestInterfaceShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    mac_address = serializers.CharField()
    ip_addresses = serializers.ListField(child=serializers.CharField())
    ipv6_addresses = serializers.ListField(child=serializers.CharField())


class GuestFilesystemShape(serializers.Serializer[Any]):
    mountpoint = serializers.CharField()
    type = serializers.CharField()
    device = serializers.CharField()
    total_bytes = serializers.IntegerField(allow_null=True)
    used_bytes = serializers.IntegerField(allow_null=True)


class GuestUserShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    logged_in_at = serializers.DateTimeField(allow_null=True)


class GuestShape(serializers.Serializer[Any]):
    """What the agent does not offer is null."""

    agent = GuestAgentShape()
    hostname = serializers.CharField(allow_null=True)
    os = GuestOsShape(allow_null=True)
    timezone = serializers.CharField(allow_null=True)
    time = serializers.DateTimeField(allow_null=True)
    interfaces = GuestInterfaceShape(many=True, allow_null=True)
    filesystems = GuestFilesystemShape(many=True, allow_null=True)
    users = GuestUserShape(many=True, allow_null=True)


class GuestFileWritten(serializers.Serializer[Any]):
    path = serializers.CharField()
    size = serializers.IntegerField()
