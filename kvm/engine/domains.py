"""Find and read domains."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import libvirt

from compute.backends.types import InstanceInfo
from compute.errors import InstanceNotFound, InvalidState
from kvm.engine.connection import Connection
from kvm.engine.info import domain_info


def domain_list(connection: Connection) -> list[InstanceInfo]:
    def method(conn: libvirt.virConnect) -> list[InstanceInfo]:
        found = []
        for domain in conn.listAllDomains(0):
            with vanished_is_fine():
                found.append(domain_info(domain, detailed=False))
        return found

    return connection.call(method)


def domain_get(connection: Connection, engine_id: str) -> InstanceInfo:
    return connection.call(lambda conn: domain_info(lookup(conn, engine_id), detailed=True))


def lookup(conn: libvirt.virConnect, engine_id: str) -> libvirt.virDomain:
    """By UUID. Raises ``InstanceNotFound`` for anything that is none."""
    try:
        return conn.lookupByUUIDString(str(uuid.UUID(engine_id)))
    except ValueError as error:
        raise InstanceNotFound("libvirt has no such domain.") from error


def active_require(connection: Connection, engine_id: str) -> None:
    """Raises ``InvalidState`` unless the domain runs."""

    def method(conn: libvirt.virConnect) -> bool:
        return bool(lookup(conn, engine_id).isActive())

    if not connection.call(method):
        raise InvalidState("The VM does not run.", state="stopped")


def running_require(connection: Connection, engine_id: str) -> None:
    """Raises ``InvalidState`` for a domain that is off or paused."""
    active_require(connection, engine_id)
    state = connection.call(lambda conn: lookup(conn, engine_id).state()[0])
    if state in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED):
        raise InvalidState("The VM is paused; resume it first.", state="paused")


@contextlib.contextmanager
def vanished_is_fine() -> Iterator[None]:
    """Domains may go while they are looked at; that is no error."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
