"""Start, stop, pause, reset and rename domains."""

from __future__ import annotations

import math
import time

import libvirt

from compute.backends.types import Reporter
from compute.errors import InvalidState
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import parse
from kvm.engine.domains import lookup
from kvm.engine.jobs import job_run
from kvm.engine.networks import network_ensure
from kvm.engine.remove import destroy

START_TIMEOUT_S = 120.0
_PRESS_AGAIN_S = 4.0
_UP = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED, libvirt.VIR_DOMAIN_SHUTDOWN)


def domain_start(connection: Connection, engine_id: str) -> None:
    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        state = domain.state()[0]
        if state == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        elif state == libvirt.VIR_DOMAIN_PMSUSPENDED:
            domain.pMWakeup(0)
        elif state not in _UP:
            for network in _networks_of(domain):
                network_ensure(conn, network)
            domain.create()

    connection.call(method, START_TIMEOUT_S)


def domain_stop(
    connection: Connection, engine_id: str, timeout_s: float, force: bool, report: Reporter
) -> None:
    """The power button, pressed again now and then, for ``timeout_s``; the plug only with ``force``.
    Raises ``InvalidState`` when the guest ignores the button: it runs on, and force is offered."""
    deadline = time.monotonic() + timeout_s
    pressed_at = -math.inf
    if force:
        connection.call(lambda conn: destroy(lookup(conn, engine_id)), START_TIMEOUT_S)
        return
    while connection.call(lambda conn: lookup(conn, engine_id).isActive()):
        now = time.monotonic()
        if pressed_at > 0 and now >= deadline:
            raise InvalidState(
                f"The guest did not shut down within {timeout_s:g} s: it ignores the power button, is still "
                "starting, or needs more time. It runs on. Try again with a longer timeout, or stop it with "
                "force, which is like pulling the plug.",
                state="running",
                timeout=timeout_s,
                offer="force",
            )
        if now - pressed_at >= _PRESS_AGAIN_S:
            pressed_at = now
            connection.call(lambda conn: _press_power(lookup(conn, engine_id)))
        report.checkpoint()
        time.sleep(0.2)


def domain_save(connection: Connection, engine_id: str, report: Reporter) -> None:
    """Its memory on the host's disk and the machine off; the next start goes on where it was. What is
    off already stays as it is. Raises ``InvalidState`` for one that is not defined for good."""

    def is_running(conn: libvirt.virConnect) -> bool:
        domain = lookup(conn, engine_id)
        if domain.isActive() and not domain.isPersistent():
            raise InvalidState("This machine is gone once it stops, so it cannot be saved.", state="running")
        return bool(domain.isActive())

    if connection.call(is_running):
        job_run(connection, engine_id, lambda domain: domain.managedSave(0), report, "Saving its memory")


def domain_save_discard(connection: Connection, engine_id: str) -> None:
    """The saved memory thrown away: the next start boots anew. Without any it is a no-op."""

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        if not domain.isActive() and domain.hasManagedSaveImage(0):
            domain.managedSaveRemove(0)

    connection.call(method)


def domain_pause(connection: Connection, engine_id: str, *, paused: bool) -> None:
    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        is_paused = domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
        if paused and not is_paused:
            domain.suspend()
        elif not paused and is_paused:
            domain.resume()

    connection.call(method)


def domain_rename(connection: Connection, engine_id: str, name: str) -> None:
    """Called ``name`` afterwards. libvirt renames only what is off: raises ``InvalidState``."""

    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        if domain.name() == name:
            return
        if domain.isActive():
            raise InvalidState("Shut it down first: a VM is renamed only while it is off.", state="running")
        domain.rename(name, 0)

    connection.call(method)


def domain_reset(connection: Connection, engine_id: str) -> None:
    def method(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        domain.reset(0)
        if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()

    connection.call(method)


def _press_power(domain: libvirt.virDomain) -> None:
    try:
        if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
            return
        if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
            raise
        # The test driver knows only the plain call.
        domain.shutdown()


def _networks_of(domain: libvirt.virDomain) -> list[str]:
    root = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    return [str(item.get("network")) for item in root.iterfind("./devices/interface/source[@network]")]
