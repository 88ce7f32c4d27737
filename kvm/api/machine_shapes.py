"""Shapes of what is changed on one machine."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Accepted

Base = s.Serializer
_RATE_MAX = 2**40
_KIB_MAX = 2**31 - 1
_BYTES_MAX = 2**60


class DiskAttachRequest(Base[Any]):
    source = s.CharField(max_length=255, required=False, help_text="A volume that is there.")  # type: ignore[assignment]
    size = s.IntegerField(required=False, min_value=1, max_value=_BYTES_MAX, help_text="Of a new one, bytes.")
    format = s.CharField(max_length=16, required=False, help_text="qcow2 or raw.")
    pool = s.CharField(max_length=128, required=False, help_text="The node's own pool if not given.")
    bus = s.CharField(max_length=16, required=False, help_text="virtio, scsi or sata.")
    cache = s.CharField(
        max_length=16, required=False, help_text="none, writeback, writethrough, directsync, unsafe."
    )
    read_only = s.BooleanField(required=False)  # type: ignore[assignment]
    shareable = s.BooleanField(required=False, help_text="Several machines may write to it; raw only.")


class IoLimitsShape(Base[Any]):
    total_bytes_sec = s.IntegerField(required=False, min_value=0, max_value=_RATE_MAX)
    read_bytes_sec = s.IntegerField(required=False, min_value=0, max_value=_RATE_MAX)
    write_bytes_sec = s.IntegerField(required=False, min_value=0, max_value=_RATE_MAX)
    total_iops_sec = s.IntegerField(required=False, min_value=0, max_value=_RATE_MAX)
    read_iops_sec = s.IntegerField(required=False, min_value=0, max_value=_RATE_MAX)
    write_iops_sec = s.IntegerField(required=False, min_value=0, max_value=_RATE_MAX)


class DiskChangeRequest(Base[Any]):
    size = s.IntegerField(required=False, min_value=1, max_value=_BYTES_MAX, help_text="Bytes; only up.")
    io_limits = IoLimitsShape(required=False, help_text="0 lifts a limit.")


class NicAttachRequest(Base[Any]):
    network = s.CharField(max_length=128, required=False, help_text="A libvirt network.")
    bridge = s.CharField(
        max_length=15, required=False, help_text="A bridge of the host; administrators only."
    )
    direct = s.CharField(
        max_length=15, required=False, help_text="An interface of the host; administrators only."
    )
    model = s.CharField(max_length=16, required=False, help_text="virtio, e1000e, e1000, rtl8139, vmxnet3.")
    mac_address = s.CharField(max_length=17, required=False)


class RateShape(Base[Any]):
    average = s.IntegerField(required=False, min_value=1, max_value=_KIB_MAX, help_text="KiB/s.")
    peak = s.IntegerField(required=False, min_value=1, max_value=_KIB_MAX, help_text="KiB/s.")
    burst = s.IntegerField(required=False, min_value=1, max_value=_KIB_MAX, help_text="KiB.")


class BandwidthShape(Base[Any]):
    inbound = RateShape(required=False)
    outbound = RateShape(required=False)


class NicChangeRequest(Base[Any]):
    bandwidth = BandwidthShape(help_text="An empty direction lifts its limit.")


class CdromRequest(Base[Any]):
    image = s.CharField(
        max_length=255,
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="An ISO; empty takes it out.",
    )
    dev = s.CharField(max_length=8, required=False, help_text="The drive; the first free one if not given.")
    force = s.BooleanField(required=False, help_text="Also when the guest has locked its tray.")


class AutostartRequest(Base[Any]):
    autostart = s.BooleanField(help_text="Start it when its host starts.")


class MachineRequest(Base[Any]):
    description = s.CharField(
        max_length=4096, required=False, allow_blank=True, trim_whitespace=False, help_text="Free text."
    )
    autostart = s.BooleanField(required=False)
    boot = s.ListField(
        child=s.ChoiceField(["hd", "cdrom", "network"]), required=False, min_length=1, max_length=3
    )


class XmlShape(Base[Any]):
    xml = s.CharField(help_text="libvirt's definition, without secrets.")


class XmlRequest(Base[Any]):
    xml = s.CharField(max_length=512 * 1024, trim_whitespace=False)
    dry_run = s.BooleanField(required=False, help_text="Only check it, and say what it would change.")


class XmlDone(Accepted):
    """With ``dry_run`` the diff alone, without an operation."""

    diff = s.CharField(
        required=False, allow_blank=True, help_text="Unified; empty when nothing would change."
    )
    dry_run = s.BooleanField(required=False)
