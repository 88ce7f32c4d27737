"""Shapes of libvirt's networks: of requests (checked) and of answers (for the schema)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base, NodeRef, OperationShape, Paged


class Strict(Base[Any]):
    """A part of a body, in which unknown fields are refused as at the top."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in self.fields:
                    known = ", ".join(sorted(self.fields))
                    raise s.ValidationError({str(key)[:50]: f"is not known here; accepted: {known}."})
        return super().to_internal_value(data)


class ForwardPart(Strict):
    mode = s.CharField(
        max_length=16, required=False, help_text="nat, route, isolated (or none), open, or bridge."
    )
    dev = s.CharField(
        max_length=15,
        required=False,
        allow_blank=True,
        allow_null=True,
        help_text="The interface of the host that it may leave by; empty: any.",
    )


class DhcpHostPart(Strict):
    mac = s.CharField(max_length=17)
    name = s.CharField(max_length=253, required=False, allow_blank=True, allow_null=True)
    ip = s.CharField(max_length=15)


class DhcpPart(Strict):
    enabled = s.BooleanField(required=False)
    start = s.CharField(max_length=15, required=False, allow_blank=True, allow_null=True)
    end = s.CharField(max_length=15, required=False, allow_blank=True, allow_null=True)
    hosts = DhcpHostPart(many=True, required=False)


class IpPart(Strict):
    address = s.CharField(max_length=15, required=False, help_text="The host's own, such as 10.20.30.1.")
    netmask = s.CharField(max_length=15, required=False, help_text="255.255.255.0, or 24.")
    dhcp = DhcpPart(required=False)


class KvmNetworkUpdateRequest(Base[Any]):
    name = s.CharField(max_length=63, required=False, help_text="As it is: it cannot be changed.")
    bridge_name = s.CharField(
        max_length=15,
        required=False,
        allow_blank=True,
        help_text="With mode bridge: the bridge of the host to join. Else its own bridge's name; empty: "
        "libvirt chooses.",
    )
    forward = ForwardPart(required=False)
    ip = IpPart(required=False, allow_null=True)
    autostart = s.BooleanField(required=False)


class KvmNetworkCreateRequest(KvmNetworkUpdateRequest):
    name = s.CharField(max_length=63)


class NetworkStopRequest(Base[Any]):
    force = s.BooleanField(required=False, help_text="Cut off the machines that run on it.")


class NetworkMachine(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    state = s.CharField()
    ip_address = s.CharField(allow_blank=True)
    ipv6_address = s.CharField(allow_blank=True)
    mac_address = s.CharField(allow_blank=True)


class ForwardShape(Base[Any]):
    mode = s.CharField()
    dev = s.CharField(allow_blank=True)


class DhcpHostShape(Base[Any]):
    mac = s.CharField()
    name = s.CharField(allow_blank=True)
    ip = s.CharField()


class DhcpShape(Base[Any]):
    enabled = s.BooleanField()
    start = s.CharField(allow_blank=True)
    end = s.CharField(allow_blank=True)
    hosts = DhcpHostShape(many=True)


class IpShape(Base[Any]):
    address = s.CharField()
    netmask = s.CharField()
    dhcp = DhcpShape()


class KvmNetworkShape(Base[Any]):
    id = s.UUIDField()
    uuid = s.CharField(help_text="libvirt's.")
    name = s.CharField()
    node = NodeRef()
    active = s.BooleanField()
    persistent = s.BooleanField()
    autostart = s.BooleanField()
    bridge_name = s.CharField(allow_blank=True)
    forward = ForwardShape()
    ip = IpShape(allow_null=True)
    pending_changes = s.DictField(help_text="What of it waits for the next start of the network.")
    in_use = s.BooleanField()
    machines = NetworkMachine(many=True, help_text="Those on it that you may see.")


class KvmNetworkDone(KvmNetworkShape):
    operation = OperationShape()


class KvmNetworkStopped(KvmNetworkDone):
    cut_off = s.ListField(
        child=s.CharField(), help_text="Machines that ran on it; their NICs stay off until a restart of them."
    )


class KvmNetworkPage(Paged):
    items = KvmNetworkShape(many=True)


class KvmNetworkRemoved(Base[Any]):
    operation = OperationShape()


class LeaseMachine(Base[Any]):
    id = s.UUIDField()
    name = s.CharField()
    state = s.CharField()


class LeaseShape(Base[Any]):
    mac_address = s.CharField()
    ip_address = s.CharField()
    prefix = s.IntegerField()
    hostname = s.CharField(allow_blank=True)
    client_id = s.CharField(allow_blank=True)
    expires_at = s.DateTimeField(allow_null=True)
    machine = LeaseMachine(allow_null=True)


class LeasePage(Paged):
    items = LeaseShape(many=True)
