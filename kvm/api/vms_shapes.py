"""Shapes of the API from before Docker: camelCase, as its clients know them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from compute.api.serializers import Base
from kvm.api.network_shapes import Strict
from kvm.selectors.vms import STATUSES

_BYTES_MAX = 2**60


class VmCpuRequest(Strict):
    count = s.IntegerField(min_value=1, max_value=128)
    model = s.CharField(required=False, allow_blank=True, max_length=64)
    socket = s.IntegerField(required=False, min_value=1, max_value=64)
    cores = s.IntegerField(required=False, min_value=1, max_value=128)
    threads = s.IntegerField(required=False, min_value=1, max_value=8)


class VmMemoryRequest(Strict):
    sizeBytes = s.IntegerField(
        required=False, min_value=0, max_value=_BYTES_MAX, help_text="At least 128 MiB."
    )
    sizeMB = s.IntegerField(required=False, min_value=0, max_value=2**40)


class VmDiskRequest(Strict):
    sizeBytes = s.IntegerField(required=False, min_value=0, max_value=_BYTES_MAX, help_text="At least 1 GiB.")
    sizeMB = s.IntegerField(required=False, min_value=0, max_value=2**40)
    format = s.ChoiceField(["qcow2", "raw"])
    sourceImage = s.CharField(required=False, allow_blank=True, max_length=255)
    storagePool = s.CharField(required=False, allow_blank=True, max_length=128)
    bus = s.ChoiceField(["virtio", "ide", "sata", "scsi"], required=False, allow_blank=True)
    cacheMode = s.ChoiceField(
        ["none", "writeback", "writethrough", "directsync", "unsafe"], required=False, allow_blank=True
    )
    shareable = s.BooleanField(required=False)
    readOnly = s.BooleanField(required=False)


class VmNetworkRequest(Strict):
    type = s.ChoiceField(["network", "bridge", "direct"])
    source = s.CharField(max_length=128)  # type: ignore[assignment]
    model = s.ChoiceField(["virtio", "e1000", "rtl8139"], required=False, allow_blank=True)
    macAddress = s.CharField(required=False, allow_blank=True, max_length=17)


class VmCloudInitRequest(Strict):
    userData = s.CharField(required=False, allow_blank=True, trim_whitespace=False, max_length=65536)
    metaData = s.CharField(required=False, allow_blank=True, trim_whitespace=False, max_length=65536)
    networkConfig = s.CharField(required=False, allow_blank=True, trim_whitespace=False, max_length=65536)
    sshKeys = s.ListField(child=s.CharField(max_length=16384), required=False, max_length=64)


class VmCreateRequest(Base[Any]):
    name = s.CharField(max_length=63)
    description = s.CharField(required=False, allow_blank=True, max_length=4096)
    template = s.CharField(required=False, allow_blank=True, max_length=255)
    cpu = VmCpuRequest()
    memory = VmMemoryRequest()
    disk = VmDiskRequest()
    network = VmNetworkRequest(required=False)
    cloudInit = VmCloudInitRequest(required=False)


class VmCpu(Base[Any]):
    count = s.IntegerField()
    model = s.CharField(required=False)
    sockets = s.IntegerField(required=False)
    cores = s.IntegerField(required=False)
    threads = s.IntegerField(required=False)


class VmMemory(Base[Any]):
    sizeBytes = s.IntegerField()
    sizeMB = s.IntegerField()


class VmDisk(Base[Any]):
    path = s.CharField(help_text="Its name in the pool.")
    format = s.CharField()
    sizeBytes = s.IntegerField()
    bus = s.CharField(allow_blank=True)
    readOnly = s.BooleanField(required=False)
    bootable = s.BooleanField(required=False)
    shareable = s.BooleanField(required=False)
    storagePool = s.CharField(required=False)
    device = s.CharField(required=False)
    volumeName = s.CharField(required=False)


class VmNetwork(Base[Any]):
    type = s.CharField()
    source = s.CharField(allow_blank=True)  # type: ignore[assignment]
    model = s.CharField()
    macAddress = s.CharField(allow_blank=True)
    ipAddress = s.CharField(required=False)
    ipAddressV6 = s.CharField(required=False)


class Vm(Base[Any]):
    name = s.CharField()
    uuid = s.CharField()
    description = s.CharField(allow_blank=True)
    status = s.ChoiceField(STATUSES)
    cpu = VmCpu()
    memory = VmMemory()
    disks = VmDisk(many=True)
    networks = VmNetwork(many=True)
    createdAt = s.DateTimeField()


class VmAnswer(Base[Any]):
    vm = Vm()


class VmList(Base[Any]):
    vms = Vm(many=True)
    count = s.IntegerField(help_text="Of all, not of this page.")
    page = s.IntegerField()
    pageSize = s.IntegerField()


class VmDone(Base[Any]):
    success = s.BooleanField()
    message = s.CharField()
