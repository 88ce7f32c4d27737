"""The networks of a libvirt host."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from compute.backends.host_routes import host_subnets
from compute.backends.types import HostNetwork, ResourceInfo
from compute.errors import (
    InvalidInput,
    InvalidState,
    NameConflict,
    NetworkInUse,
    NetworkNotFound,
)
from kvm.engine.agent import one_line
from kvm.engine.connection import Connection
from kvm.engine.network_xml import (
    host_xml,
    network_apply,
    network_shape,
    network_xml,
    range_xml,
    subnet_of,
    text,
    tree,
)

T = TypeVar("T")
# Inside the class ``list`` is a method.
Names = list[str]
HostNetworks = list[HostNetwork]
Rows = list[Mapping[str, Any]]
Subnets = list[IPv4Network]
# Without an address libvirt does not start these.
ADDRESSED = frozenset({"nat", "route", "open"})
_CHOSEN = range(100, 255)
UNDO_NETWORK = "network"
_INTERFACES = Path("/sys/class/net")
# dnsmasq and the firewall's rules are set up while a network starts.
_START_TIMEOUT_S = 60.0
_LIVE = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE


class Networks:
    """What one libvirt can do with networks. Every method raises only ``ComputeError``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> list[ResourceInfo]:
        def method(conn: libvirt.virConnect) -> list[ResourceInfo]:
            found = []
            for item in conn.listAllNetworks(0):
                with _vanished_is_fine():
                    found.append(network_info(item))
            return found

        return self._connection.call(method)

    def names(self) -> HostNetworks:
        """What instances can be attached to, by name."""
        found = []
        for info in self.list():
            subnet = subnet_of(info.data["ip"])
            active, mode = bool(info.data["active"]), str(info.data["forward"]["mode"])
            found.append(HostNetwork(info.name, mode, active, str(subnet or "")))
        return sorted(found, key=lambda network: network.name)

    def create(self, wanted: Mapping[str, Any], uuid: str) -> None:
        """Define and start one; where an address is needed and none was asked for, in a free subnet.
        Raises ``NameConflict``; ``InvalidInput`` for a bridge or an interface that is not there, a
        bridge's name that is taken, and a subnet that somebody has."""
        self._host_check(wanted, own=None)
        self._call(lambda conn: _name_is_free(conn, wanted["name"]))
        if wanted["ip"] is None and wanted["forward"]["mode"] in ADDRESSED:
            wanted = {**wanted, "ip": self._free_ip()}
        self._subnet_check(wanted, own=uuid)

        def method(conn: libvirt.virConnect) -> None:
            network = conn.networkDefineXML(network_xml(wanted, uuid))
            network.setAutostart(1 if wanted["autostart"] else 0)
            network.create()

        self._call(method, _START_TIMEOUT_S)

    def undo(self, uuid: str) -> None:
        """Remove what a create made; its UUID was that create's own."""
        with contextlib.suppress(NetworkNotFound):
            self.remove(uuid, force=True)

    def update(self, uuid: str, wanted: Mapping[str, Any]) -> None:
        """Change the definition, and what runs as far as libvirt can: DHCP hosts and the range. The rest
        waits for the next start; ``network_info`` shows it as pending."""
        before = self._call(lambda conn: _inactive_shape(_lookup(conn, uuid)))
        self._host_check(wanted, own=before)
        if subnet_of(before["ip"]) != subnet_of(wanted["ip"]):
            self._subnet_check(wanted, own=uuid)

        def method(conn: libvirt.virConnect) -> None:
            network = _lookup(conn, uuid)
            _persistent_require(network)
            root = tree(_definition(network))
            network_apply(root, wanted)
            conn.networkDefineXML(text(root))
            if bool(network.autostart()) != wanted["autostart"]:
                network.setAutostart(1 if wanted["autostart"] else 0)
            if network.isActive():
                _dhcp_live(network, wanted["ip"])

        self._call(method, _START_TIMEOUT_S)

    def start(self, uuid: str) -> None:
        """Running afterwards. Raises ``InvalidState`` naming who has its subnet, or that its bridge is
        gone."""
        shape = self._call(lambda conn: _inactive_shape(_lookup(conn, uuid)))
        if self._call(lambda conn: bool(_lookup(conn, uuid).isActive())):
            return
        self._bridge_there(shape)
        holder = self._route_holder(subnet_of(shape["ip"]))
        if holder:
            raise InvalidState(
                f"Its subnet {subnet_of(shape['ip'])} is in use on this host by “{holder}”. Stop that, or "
                "give this network another subnet.",
                holder=holder,
            )

        def method(conn: libvirt.virConnect) -> None:
            network = _lookup(conn, uuid)
            if not network.isActive():
                network.create()

        self._call(method, _START_TIMEOUT_S)

    def stop(self, uuid: str, *, force: bool) -> Names:
        """Not running afterwards. Returns the machines that were cut off; without ``force`` raises
        ``NetworkInUse`` naming them instead."""

        def method(conn: libvirt.virConnect) -> Names:
            network = _lookup(conn, uuid)
            if not network.isActive():
                return []
            there = _running_on(conn, network)
            if there and not force:
                raise _in_use(network.name(), there)
            network.destroy()
            return there

        return self._call(method, _START_TIMEOUT_S)

    def remove(self, uuid: str, *, force: bool) -> None:
        """Gone afterwards; absent is fine. Raises ``NetworkInUse`` as ``stop``."""
        try:
            self.stop(uuid, force=force)
        except NetworkNotFound:
            return

        def method(conn: libvirt.virConnect) -> None:
            with _vanished_is_fine():
                network = _lookup(conn, uuid)
                if network.isPersistent():
                    network.undefine()

        self._call(method)

    def leases(self, uuid: str) -> Rows:
        """Addresses that its DHCP gave out: ``mac_address, ip_address, prefix, hostname, client_id,
        expires_at`` (None: never)."""

        def method(conn: libvirt.virConnect) -> Rows:
            network = _lookup(conn, uuid)
            return list(network.DHCPLeases()) if network.isActive() else []

        return [_lease(row) for row in self._call(method)]

    # -- checks ---------------------------------------------------------------------------------

    def _host_check(self, wanted: Mapping[str, Any], own: Mapping[str, Any] | None) -> None:
        """Bridges and interfaces of our own machine; of another one libvirt tells when it starts."""
        if not self._connection.is_local:
            return
        mode, bridge, device = wanted["forward"]["mode"], wanted["bridge_name"], wanted["forward"]["dev"]
        if device and not (_INTERFACES / device).exists():
            raise InvalidInput.field("forward.dev", f"this host has no interface “{device}”.")
        if mode == "bridge":
            if not _is_bridge(bridge):
                raise InvalidInput.field("bridge_name", f"this host has no bridge “{bridge}”.")
            return
        kept = own is not None and own["forward"]["mode"] != "bridge" and own["bridge_name"] == bridge
        if bridge and not kept and (_INTERFACES / bridge).exists():
            raise InvalidInput.field("bridge_name", f"“{bridge}” is an interface of this host already.")

    def _bridge_there(self, shape: Mapping[str, Any]) -> None:
        if shape["forward"]["mode"] == "bridge" and self._connection.is_local:
            bridge = shape["bridge_name"]
            if bridge and not _is_bridge(bridge):
                raise InvalidState(f"Its bridge “{bridge}” is not on this host (any more). Make it first.")

    def _free_ip(self) -> dict[str, Any]:
        def method(conn: libvirt.virConnect) -> Subnets:
            shapes = [_inactive_shape(item) for item in conn.listAllNetworks(0)]
            return [subnet for shape in shapes if (subnet := subnet_of(shape["ip"]))]

        taken = self._call(method)
        if self._connection.is_local:
            taken += [held for _, held in host_subnets()]
        for third in _CHOSEN:
            subnet = IPv4Network(f"192.168.{third}.0/24")
            if not any(held.overlaps(subnet) for held in taken):
                dhcp = {"enabled": True, "start": str(subnet[2]), "end": str(subnet[254]), "hosts": []}
                return {"address": str(subnet[1]), "netmask": str(subnet.netmask), "dhcp": dhcp}
        raise InvalidInput.field("ip", "no subnet of 192.168.100.0 to 192.168.254.0 is free; name one.")

    def _subnet_check(self, wanted: Mapping[str, Any], own: str) -> None:
        subnet = subnet_of(wanted["ip"])
        if subnet is None:
            return

        def method(conn: libvirt.virConnect) -> tuple[str, IPv4Network] | None:
            for item in conn.listAllNetworks(0):
                other = subnet_of(_inactive_shape(item)["ip"])
                if item.UUIDString() != own and other is not None and other.overlaps(subnet):
                    return item.name(), other
            return None

        found = self._call(method)
        if found:
            raise InvalidInput.field("ip.address", f"overlaps with the network “{found[0]}” ({found[1]}).")
        holder = self._route_holder(subnet)
        if holder and not self._is_own_bridge(own, holder):
            raise InvalidInput.field("ip.address", f"{subnet} is in use on this host by “{holder}”.")

    def _is_own_bridge(self, uuid: str, interface: str) -> bool:
        """A network that is changed may keep a part of the subnet that its own bridge has now."""

        def method(conn: libvirt.virConnect) -> str:
            try:
                network = conn.networkLookupByUUIDString(uuid)
                return str(network.bridgeName()) if network.isActive() else ""
            except libvirt.libvirtError:
                # New ones have no bridge yet.
                return ""

        return self._call(method) == interface

    def _route_holder(self, subnet: IPv4Network | None) -> str:
        """Which interface of our own machine has (a part of) this subnet."""
        if subnet is None or not self._connection.is_local:
            return ""
        return next((name for name, held in host_subnets() if held.overlaps(subnet)), "")

    def _call(self, method: Callable[[libvirt.virConnect], T], timeout_s: float | None = None) -> T:
        return self._connection.call(method, timeout_s)


def network_info(network: libvirt.virNetwork) -> ResourceInfo:
    """One network: its definition, and as ``pending_changes`` what of it waits for the next start."""
    shape, pending = _inactive_shape(network), {}
    active, persistent = bool(network.isActive()), bool(network.isPersistent())
    subnet = subnet_of(shape["ip"])
    if active and persistent:
        live = network_shape(tree(network.XMLDesc(0)))
        pending = {key: value for key, value in shape.items() if live[key] != value}
    return ResourceInfo(
        kind="network",
        engine_id=network.UUIDString(),
        name=network.name(),
        data={
            # Whoever uses it: host-wide things are nobody's in particular.
            "of_host": True,
            "driver": shape["forward"]["mode"],
            "ipam": [{"subnet": str(subnet)}] if subnet else [],
            "active": active,
            "persistent": persistent,
            "autostart": bool(network.autostart()) if persistent else False,
            **shape,
            "pending_changes": pending,
        },
    )


def network_ensure(conn: libvirt.virConnect, name: str) -> None:
    """Started afterwards. Raises ``InvalidInput`` when there is none of that name."""
    if name == "user":
        return
    try:
        network = conn.networkLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
            raise
        known = ", ".join(sorted(item.name() for item in conn.listAllNetworks(0))) or "none"
        raise InvalidInput.field(
            "config.network", f"there is no network “{name}”; there are: {known}."
        ) from error
    if not network.isActive():
        with contextlib.suppress(libvirt.libvirtError):
            # Two creates may start it at once; what counts is that it runs afterwards.
            network.create()
        if not network.isActive():
            network.create()


def _inactive_shape(network: libvirt.virNetwork) -> dict[str, Any]:
    return network_shape(tree(_definition(network)))


def _definition(network: libvirt.virNetwork) -> str:
    """What its next start will make of it; of one for this boot only, what it is."""
    if network.isActive() and network.isPersistent():
        try:
            return str(network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE))
        except libvirt.libvirtError as error:
            # The test driver does not tell the two apart.
            if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
                raise
    return str(network.XMLDesc(0))


def _lookup(conn: libvirt.virConnect, uuid: str) -> libvirt.virNetwork:
    return conn.networkLookupByUUIDString(uuid)


def _name_is_free(conn: libvirt.virConnect, name: str) -> None:
    if name in {item.name() for item in conn.listAllNetworks(0)}:
        raise NameConflict(f"There is already a network “{name}” on this node. Take another name.", name=name)


def _persistent_require(network: libvirt.virNetwork) -> None:
    if not network.isPersistent():
        raise InvalidState("It is a network for this boot only: it has no definition that could be changed.")


def _dhcp_live(network: libvirt.virNetwork, ip: Mapping[str, Any] | None) -> None:
    """Bring the DHCP of a running network to what is wanted. Hosts and the range can be changed while it
    runs, when it serves DHCP in this subnet already; libvirt starts its dnsmasq anew for it."""
    live = network_shape(tree(network.XMLDesc(0)))["ip"]
    if not (ip and live and ip["dhcp"]["enabled"] and live["dhcp"]["enabled"]):
        return
    if subnet_of(ip) != subnet_of(live):
        return
    section = libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
    for host in live["dhcp"]["hosts"]:
        if host not in ip["dhcp"]["hosts"]:
            network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, section, -1, host_xml(host), _LIVE)
    for host in ip["dhcp"]["hosts"]:
        if host not in live["dhcp"]["hosts"]:
            network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, -1, host_xml(host), _LIVE)
    section = libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE
    if all(live["dhcp"][key] == ip["dhcp"][key] for key in ("start", "end")):
        return
    if live["dhcp"]["start"]:
        old = range_xml(live["dhcp"])
        network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, section, -1, old, _LIVE)
    network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, -1, range_xml(ip["dhcp"]), _LIVE)


def _running_on(conn: libvirt.virConnect, network: libvirt.virNetwork) -> list[str]:
    """The names of the running machines with a NIC on it, as their own live definitions say."""
    name, found = network.name(), []
    for domain in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        try:
            root = tree(domain.XMLDesc(0))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            continue
        if any(source.get("network") == name for source in root.iterfind("./devices/interface/source")):
            found.append(str(domain.name()))
    return sorted(found)


def _in_use(name: str, machines: list[str]) -> NetworkInUse:
    return NetworkInUse(
        f"Machines run on “{name}”: {', '.join(machines[:10])}. Stop them first, or cut them off with force.",
        machines=machines,
    )


def _is_bridge(name: str) -> bool:
    return (_INTERFACES / name / "bridge").exists()


def _lease(row: Mapping[str, Any]) -> dict[str, Any]:
    """The guest chose its host name and client id."""
    return {
        "mac_address": one_line(row.get("mac") or ""),
        "ip_address": one_line(row.get("ipaddr") or ""),
        "prefix": int(row.get("prefix") or 0),
        "hostname": one_line(row.get("hostname") or ""),
        "client_id": one_line(row.get("clientid") or ""),
        "expires_at": _moment(int(row.get("expirytime") or 0)),
    }


def _moment(seconds: int) -> datetime | None:
    """None: never, or later than any calendar goes."""
    with contextlib.suppress(OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(seconds, timezone.utc) if seconds else None
    return None


@contextlib.contextmanager
def _vanished_is_fine() -> Any:
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
            raise
