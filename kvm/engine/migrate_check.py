"""What must be right on two hosts before a VM moves from one to the other."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import libvirt
from lxml import etree

from compute.backends.types import MigrateCheck
from compute.tell import tell
from kvm.engine import storage
from kvm.engine.domain_xml import Element, parse

_PROBE_PREFIX = "libgo-probe-"
_PROBE_BYTES = 512
# Devices that are a piece of the host (https://libvirt.org/formatdomain.html).
_OF_HOST = {
    "hostdev": tell("a device of the host that is passed through"),
    "filesystem": tell("a folder of the host"),
    "redirdev": tell("redirected USB"),
    "shmem": tell("memory that it shares on the host"),
    "vsock": "",
    "tpm": "",
}
_COMPATIBLE = (libvirt.VIR_CPU_COMPARE_IDENTICAL, libvirt.VIR_CPU_COMPARE_SUPERSET)


@dataclass
class Move:
    """One VM, the host that it is on, and the one that it shall be on."""

    domain: libvirt.virDomain
    source: libvirt.virConnect
    target: libvirt.virConnect
    target_name: str
    live: bool

    @cached_property
    def root(self) -> Element:
        """The definition that travels: of a running VM what it runs with."""
        flags = libvirt.VIR_DOMAIN_XML_SECURE if self.live else libvirt.VIR_DOMAIN_XML_INACTIVE
        return parse(self.domain.XMLDesc(flags))

    @cached_property
    def host(self) -> Element:
        return parse(self.source.getCapabilities())

    @cached_property
    def other_host(self) -> Element:
        return parse(self.target.getCapabilities())

    def disks(self) -> list[Element]:
        """Those with something in them."""
        return [disk for disk in self.root.iterfind("./devices/disk") if disk.find("./source") is not None]


def checks(move: Move) -> Iterator[MigrateCheck]:
    """Each of them, in the order that people think of them; after the first on a host that is the same
    one, none of the others makes sense."""
    same = move.host.findtext("./host/uuid") == move.other_host.findtext("./host/uuid")
    yield MigrateCheck(
        "host", not same, "Both nodes lead to the same host." if same else "The nodes are two hosts."
    )
    if same:
        return
    for check in (_name, _state, _machine, _cpu, _memory, _devices, _storage, _networks):
        yield check(move)


def _name(move: Move) -> MigrateCheck:
    name, its_uuid = move.domain.name(), move.domain.UUIDString()
    lookups: tuple[tuple[Callable[[str], libvirt.virDomain], str], ...] = (
        (move.target.lookupByName, name),
        (move.target.lookupByUUIDString, its_uuid),
    )
    for lookup, word in lookups:
        try:
            lookup(word)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            continue
        what = tell(f"the name “{name}”") if word == name else tell("this machine's UUID")
        return MigrateCheck(
            "name", False, f"{move.target_name} has a machine with {what} already. Rename one."
        )
    return MigrateCheck("name", True, f"Its name and UUID are free on {move.target_name}.")


def _state(move: Move) -> MigrateCheck:
    """What libvirt keeps of a VM on its host, and does not take along."""
    problem = ""
    if move.domain.snapshotNum(0):
        problem = "It has snapshots, which stay behind when a machine moves. Delete them first."
    elif move.domain.hasManagedSaveImage(0):
        problem = (
            "Its saved memory lies on this host. Start it and move it while it runs, or drop that memory."
        )
    elif not move.live and move.root.find("./os/nvram") is not None:
        problem = "Its UEFI settings lie on this host and travel only with a running machine. Start it first."
    elif not move.live and move.root.find("./devices/tpm/backend[@type='emulator']") is not None:
        problem = (
            "The state of its TPM lies on this host and travels only with a running machine. Start it first."
        )
    return MigrateCheck("state", not problem, problem or "Nothing of it has to stay behind.")


def _machine(move: Move) -> MigrateCheck:
    """The emulator and how it runs guests."""
    kind, arch = str(move.root.get("type")), move.root.find("./os/type")
    arch_name = str(arch.get("arch", "x86_64")) if arch is not None else "x86_64"
    offered = move.other_host.find(f"./guest/arch[@name='{arch_name}']/domain[@type='{kind}']")
    ours, theirs = move.source.getVersion(), move.target.getVersion()
    machine = str(arch.get("machine", "")) if arch is not None else ""
    known = [found.text for found in move.other_host.iterfind(f"./guest/arch[@name='{arch_name}']/machine")]
    problem = ""
    if offered is None:
        problem = f"{move.target_name} does not run {kind.upper()} guests of {arch_name}."
    elif machine and known and machine not in known:
        problem = f"{move.target_name} does not know the machine type {machine}. Use a newer QEMU there."
    elif move.live and theirs < ours:
        problem = f"QEMU on {move.target_name} is older. Update it, or move the machine while it is off."
    return MigrateCheck("hypervisor", not problem, problem or "The hypervisors fit.")


def _cpu(move: Move) -> MigrateCheck:
    """A guest keeps the processor that it found when it started."""
    if not move.live:
        return MigrateCheck("cpu", True, "Its processor is chosen anew when it starts.")
    if move.root.get("type") != "kvm":
        return MigrateCheck("cpu", True, "Its processor is emulated, the same everywhere.")
    own = move.root.find("./cpu")
    mode = str(own.get("mode", "")) if own is not None else ""
    wanted = own if own is not None and mode == "custom" else move.host.find("./host/cpu")
    try:
        result = move.target.compareCPU(_text(wanted), 0) if wanted is not None else None
    except libvirt.libvirtError:
        result = None
    if result in _COMPATIBLE:
        return MigrateCheck("cpu", True, f"The processor of {move.target_name} has all that it uses.")
    return MigrateCheck(
        "cpu",
        False,
        f"The processor of {move.target_name} lacks what this machine uses. Give it a CPU model that both "
        "hosts have, or move it while it is off.",
    )


def _memory(move: Move) -> MigrateCheck:
    wanted, free = move.domain.maxMemory() * 1024, move.target.getFreeMemory()
    ok = not move.live or free > wanted
    told = f"It needs {_mib(wanted)} of memory, and {_mib(free)} are free on {move.target_name}."
    return MigrateCheck("memory", ok, told)


def _devices(move: Move) -> MigrateCheck:
    held = [why for tag, why in _OF_HOST.items() if why and move.root.find(f"./devices/{tag}") is not None]
    held += [
        tell(f"the host's own disk or drive {disk.find('./source').get('dev')}")
        for disk in move.disks()
        if disk.get("type") == "block"
    ]
    held += [
        tell("a NIC on a device of the host")
        for _ in move.root.iterfind("./devices/interface[@type='hostdev']")
    ]
    if held:
        return MigrateCheck(
            "devices", False, f"It holds on to this host: {', '.join(held)}. Take that away first."
        )
    return MigrateCheck("devices", True, "It has no piece of this host.")


def _storage(move: Move) -> MigrateCheck:
    """Whether the very files are there too. Equal names prove nothing, so a file with a word in it is
    written on one side and read on the other."""
    folders = set()
    for disk in move.disks():
        source = disk.find("./source")
        path = str(source.get("file") or "")
        if disk.get("type") == "block":
            continue
        if not path:
            what = source.get("volume") or source.get("name") or "?"
            return MigrateCheck(
                "storage", False, f"LibGo cannot tell whether both hosts have the disk {what}."
            )
        folders |= {str(PurePosixPath(part).parent) for part in (path, *_backing(move.source, path))}
    for folder in sorted(folders):
        problem = _folder_problem(move, folder)
        if problem:
            return MigrateCheck("storage", False, problem)
    return MigrateCheck("storage", True, "Both hosts share its disks." if folders else "It has no disks.")


def _backing(conn: libvirt.virConnect, path: str) -> Iterator[str]:
    """The files under a thin copy, nearest first, as far as libvirt knows them."""
    for _ in range(32):
        try:
            root = parse(conn.storageVolLookupByPath(path).XMLDesc(0))
        except libvirt.libvirtError:
            return
        path = root.findtext("./backingStore/path") or ""
        if not path:
            return
        yield path


def _folder_problem(move: Move, folder: str) -> str:
    ours, theirs = _pool(move.source, folder), _pool(move.target, folder)
    if ours is None:
        return (
            f"The folder {folder} is no storage pool here, so LibGo cannot see whether both hosts share it."
        )
    if theirs is None:
        return (
            f"{move.target_name} has no running storage pool for {folder}. Share that folder between the "
            "hosts and make it a pool there."
        )
    if not _is_shared(move, ours, theirs):
        return (
            f"The pool {ours.name()} is not the same storage on {move.target_name}: what is written here "
            "does not appear there. Put the disks on storage that both hosts mount."
        )
    return ""


def _pool(conn: libvirt.virConnect, folder: str) -> libvirt.virStoragePool | None:
    for pool in conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        if parse(pool.XMLDesc(0)).findtext("./target/path") == folder:
            return pool
    return None


def _is_shared(move: Move, ours: libvirt.virStoragePool, theirs: libvirt.virStoragePool) -> bool:
    name, word = f"{_PROBE_PREFIX}{uuid.uuid4()}", os.urandom(_PROBE_BYTES)
    volume = storage.upload(move.source, ours, storage.NewVolume(name, "raw", _PROBE_BYTES), word)
    try:
        if not storage.pool_refresh(theirs, within_s=20.0):
            raise storage.pool_busy(theirs.name())
        return _read(move.target, theirs.storageVolLookupByName(name)) == word
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        return False
    finally:
        volume.delete(0)
        with contextlib.suppress(libvirt.libvirtError):
            theirs.refresh(0)


def _read(conn: libvirt.virConnect, volume: libvirt.virStorageVol) -> bytes:
    stream, found = conn.newStream(0), b""
    volume.download(stream, 0, _PROBE_BYTES, 0)
    while piece := stream.recv(_PROBE_BYTES):
        found += piece
    stream.finish()
    return found


def _networks(move: Move) -> MigrateCheck:
    there = {network.name(): bool(network.isActive()) for network in move.target.listAllNetworks(0)}
    for nic in move.root.iterfind("./devices/interface"):
        problem = _nic_problem(move, nic, there)
        if problem:
            return MigrateCheck("networks", False, problem)
    return MigrateCheck("networks", True, f"Its networks are there on {move.target_name}.")


def _nic_problem(move: Move, nic: Element, there: dict[str, bool]) -> str:
    source, kind, where = nic.find("./source"), str(nic.get("type")), move.target_name
    if kind == "direct":
        return "A NIC is bound to a card of this host. Take that away first."
    if source is None:
        return ""
    network, bridge = str(source.get("network") or ""), str(source.get("bridge") or "")
    if kind == "network" and network not in there:
        return f"{where} has no network “{network}”. Make one there."
    if kind == "network" and move.live and not there[network]:
        return f"The network “{network}” is off on {where}. Start it."
    if kind == "bridge" and not _has_bridge(move.target, bridge):
        return f"{where} has no bridge “{bridge}”. Make one there."
    return ""


def _has_bridge(conn: libvirt.virConnect, name: str) -> bool:
    try:
        return name in (*conn.listInterfaces(), *conn.listDefinedInterfaces())
    except libvirt.libvirtError:
        # A host without that driver cannot be asked; libvirt itself refuses when it is absent.
        return True


def _text(element: Element) -> str:
    return str(etree.tostring(element, encoding="unicode"))


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.0f} MiB"
