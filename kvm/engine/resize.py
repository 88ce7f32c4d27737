"""Change the limits of domains, live where that is possible."""

from __future__ import annotations

import libvirt

from compute.backends.types import InstanceInfo, Resources
from compute.errors import InvalidInput
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import parse
from kvm.engine.domains import domain_get, lookup


def resize_waits(connection: Connection, engine_id: str, wanted: Resources) -> frozenset[str]:
    """Which limits cannot be applied to the running domain."""

    def method(conn: libvirt.virConnect) -> frozenset[str]:
        domain = lookup(conn, engine_id)
        if not domain.isActive():
            return frozenset()
        waits = set()
        if wanted.memory_bytes is not None and wanted.memory_bytes > domain.maxMemory() * 1024:
            waits.add("memory_bytes")
        if wanted.cpu_cores is not None and vcpus_of(wanted) != domain.vcpusFlags(
            libvirt.VIR_DOMAIN_AFFECT_LIVE
        ):
            # Guests give vCPUs back only if they cooperate, so less waits for the next start too.
            live_max = domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
            fewer = vcpus_of(wanted) < domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE)
            if fewer or vcpus_of(wanted) > live_max:
                waits.add("cpu_cores")
        return frozenset(waits)

    return connection.call(method)


def domain_update(connection: Connection, engine_id: str, wanted: Resources) -> InstanceInfo:
    """New limits in the configuration, and live where that is possible."""
    waits = resize_waits(connection, engine_id, wanted)

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        live = bool(domain.isActive())
        if wanted.memory_bytes is not None:
            _memory_set(domain, wanted.memory_bytes // 1024, live and "memory_bytes" not in waits)
        if wanted.cpu_cores is not None:
            _vcpus_set(domain, vcpus_of(wanted), live and "cpu_cores" not in waits)

    connection.call(method)
    return domain_get(connection, engine_id)


def vcpus_of(resources: Resources) -> int:
    cores = resources.cpu_cores or 1
    if cores != int(cores) or cores < 1:
        raise InvalidInput.field("resources.cpu.cores", "must be a whole number for a VM.")
    return int(cores)


def _memory_set(domain: libvirt.virDomain, kib: int, live: bool) -> None:
    config = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    maximum = _kib(parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("./memory"))
    if live:
        domain.setMemoryFlags(kib, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if kib > maximum:
        domain.setMemoryFlags(kib, config | libvirt.VIR_DOMAIN_MEM_MAXIMUM)
    domain.setMemoryFlags(kib, config)


def _kib(element: object) -> int:
    return int(getattr(element, "text", 0) or 0)


def _vcpus_set(domain: libvirt.virDomain, count: int, live: bool) -> None:
    config = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    if live and count > domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE):
        domain.setVcpusFlags(count, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if count > domain.vcpusFlags(config | libvirt.VIR_DOMAIN_VCPU_MAXIMUM):
        domain.setVcpusFlags(count, config | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    domain.setVcpusFlags(count, config)
