"""Snapshots of domains, as libvirt keeps them, of two kinds; a machine has only one of them at a time.

*internal*: inside the qcow2 files, with the memory of a machine that runs. The default wherever all its
disks are qcow2 and its firmware keeps no variables in a file of its own.
*external*: the disks as they were are frozen, and an overlay takes what is written from then on; without
memory. See ``layers.py`` for how they are restored and merged.

Mixing the two leads to states that libvirt can neither restore nor delete.
Source: https://libvirt.org/formatsnapshot.html
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import libvirt
from lxml import etree
from lxml.builder import E

from compute.backends.types import (
    BroughtBack,
    InstanceInfo,
    Reporter,
    SnapshotInfo,
    SnapshotSpec,
    UndoStep,
)
from compute.errors import (
    InstanceNotFound,
    InvalidState,
    NameConflict,
    OperationNotSupported,
    SnapshotNotFound,
)
from compute.states import InstanceState
from compute.tell import tell
from kvm.engine import layers
from kvm.engine.brought_back import brought_back
from kvm.engine.connection import Connection
from kvm.engine.domain_xml import Element, parse
from kvm.engine.domains import domain_get, lookup
from kvm.engine.pending import memory_bytes, vcpus_now

UNDO_SNAPSHOT = "snapshot"
INTERNAL, EXTERNAL = "internal", "external"
# The memory of a large machine is written while the call lasts.
SNAPSHOT_TIMEOUT_S = 900.0
_LIST_TIMEOUT_S = 10.0

_STATES = {
    "running": InstanceState.RUNNING,
    "blocked": InstanceState.RUNNING,
    "paused": InstanceState.PAUSED,
    "pmsuspended": InstanceState.PAUSED,
}


@dataclass(frozen=True)
class Choice:
    """How the next snapshot will be kept."""

    kind: str
    memory: bool


def snapshot_list(connection: Connection, engine_id: str) -> list[SnapshotInfo]:
    """Oldest first; none of a domain that is gone."""

    def method(conn: libvirt.virConnect) -> list[SnapshotInfo]:
        return _infos(lookup(conn, engine_id))

    try:
        return connection.call(method, _LIST_TIMEOUT_S)
    except InstanceNotFound:
        return []


def snapshot_create(
    connection: Connection, engine_id: str, wanted: SnapshotSpec, report: Reporter
) -> SnapshotInfo:
    """Raises ``NameConflict``, ``InvalidState`` (managed save), ``OperationNotSupported`` for options that
    this machine cannot have, with the reason."""

    def look(conn: libvirt.virConnect) -> tuple[Choice, dict[str, Any]]:
        domain = lookup(conn, engine_id)
        infos = _infos(domain)
        if any(item.name == wanted.name for item in infos):
            raise NameConflict(f"There is already a snapshot “{wanted.name}”.", name=wanted.name)
        if _has_managed_save(domain):
            raise InvalidState(
                "It is saved to disk, its memory apart from its disks. Start it, then take the snapshot.",
                state="stopped",
            )
        plain = connection.is_test_driver
        runs = _state(domain) == libvirt.VIR_DOMAIN_RUNNING
        mark = {"uuid": engine_id, "name": wanted.name, "since": int(time.time()), "runs": runs}
        return _choice(domain, infos, wanted, plain=plain), mark

    choice, mark = connection.call(look)
    report.undo(UndoStep(UNDO_SNAPSHOT, mark))
    words = tell("with its memory") if choice.memory else tell("of its disks")
    report.progress(30, f"Taking the snapshot {wanted.name}, {words}")

    def take(conn: libvirt.virConnect) -> None:
        domain = lookup(conn, engine_id)
        if choice.kind == INTERNAL:
            domain.snapshotCreateXML(_xml(wanted), 0)
        else:
            layers.snapshot_take(conn, domain, wanted)

    connection.call(take, SNAPSHOT_TIMEOUT_S)
    report.progress(90, "Reading it back")
    return _found(snapshot_list(connection, engine_id), wanted.name)


def snapshot_delete(connection: Connection, engine_id: str, name: str, report: Reporter) -> None:
    """Gone afterwards; the others stay. Absent is fine, and so is an absent domain."""
    known = {item.name: item.kind for item in snapshot_list(connection, engine_id)}
    if name not in known:
        return
    if known[name] == EXTERNAL:
        layers.snapshot_drop(connection, engine_id, name, report)
        return
    if EXTERNAL in known.values():
        raise InvalidState(
            "This machine has snapshots of two kinds, made outside LibGo. Delete the external ones first.",
            state="mixed",
        )
    _internal_delete(connection, engine_id, name)


def _internal_delete(connection: Connection, engine_id: str, name: str) -> None:
    connection.call(lambda conn: _lookup(lookup(conn, engine_id), name).delete(0), SNAPSHOT_TIMEOUT_S)


def snapshot_restore(
    connection: Connection, engine_id: str, wanted: SnapshotSpec, report: Reporter
) -> InstanceInfo:
    """Raises ``SnapshotNotFound``; ``InvalidState`` with the reason where it cannot be restored now, or where
    it would bring back more than was judged."""
    found = _found(snapshot_list(connection, engine_id), wanted.name)
    if found.no_restore:
        raise InvalidState(found.no_restore, state=found.kind)
    report.progress(30, f"Going back to {wanted.name}")
    if found.kind == EXTERNAL:
        layers.snapshot_go_back(connection, engine_id, wanted, report)
    else:
        connection.call(lambda conn: _go_back(lookup(conn, engine_id), wanted), SNAPSHOT_TIMEOUT_S)
    report.progress(95, "Reading it back")
    return domain_get(connection, engine_id)


def snapshot_undo(connection: Connection, step: UndoStep) -> None:
    """Only one that was made since: an older one of this name is not ours. A machine that ran goes on: it
    stands still while its memory is written, and for good when libvirt's daemon dies meanwhile."""
    engine_id, name = str(step.ref["uuid"]), str(step.ref["name"])
    if step.ref.get("runs"):
        with contextlib.suppress(InstanceNotFound):
            connection.call(lambda conn: _go_on(lookup(conn, engine_id)))
    for item in snapshot_list(connection, engine_id):
        made = item.created_at
        if item.name != name or made is None or made.timestamp() < float(step.ref["since"]):
            continue
        if item.kind == EXTERNAL:
            layers.snapshot_forget(connection, engine_id, name)
        else:
            _internal_delete(connection, engine_id, name)


def _go_on(domain: libvirt.virDomain) -> None:
    if _state(domain) == libvirt.VIR_DOMAIN_PAUSED:
        domain.resume()


def _state(domain: libvirt.virDomain) -> int:
    return int(domain.state()[0])


def _go_back(domain: libvirt.virDomain, wanted: SnapshotSpec) -> None:
    snapshot = _lookup(domain, wanted.name)
    if wanted.brings_back is not None:
        _no_more_back(domain, wanted.name, wanted.brings_back)
    if not domain.isActive() and _has_managed_save(domain):
        # Memory that was saved belongs to the disks as they are now, not to those that come back.
        domain.managedSaveRemove(0)
    # A machine that runs with other settings by now needs a new QEMU: that is what force allows.
    domain.revertToSnapshot(snapshot, libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE)


def _no_more_back(domain: libvirt.virDomain, name: str, judged: tuple[BroughtBack, ...]) -> None:
    """Whoever changes the domain beside LibGo may have taken something off since."""
    if not set(_found(_infos(domain), name).brings_back) <= set(judged):
        raise InvalidState(
            "Devices were taken off this machine while it was to go back, and the snapshot would bring them "
            "back unasked. Ask for it again.",
            state="changed",
        )


def _has_managed_save(domain: libvirt.virDomain) -> bool:
    try:
        return bool(domain.hasManagedSaveImage(0))
    except libvirt.libvirtError:
        # A driver without managed save has none.
        return False


def _choice(
    domain: libvirt.virDomain, infos: list[SnapshotInfo], wanted: SnapshotSpec, *, plain: bool
) -> Choice:
    """The kind that this machine has already, else the one that it and the request allow."""
    running = bool(domain.isActive())
    has = {item.kind for item in infos}
    obstacle = "" if plain else _internal_obstacle(parse(domain.XMLDesc(0)))
    without_memory = running and (wanted.include_memory is False or wanted.quiesce)
    if wanted.quiesce and not running:
        raise OperationNotSupported(
            "It does not run, so no guest agent can hold its file systems; leave “quiesce” out.",
            capability="quiesce",
        )
    if wanted.include_memory and (obstacle or not running or EXTERNAL in has or wanted.quiesce):
        why = obstacle or (
            tell("it does not run") if not running else tell("its snapshots are kept outside its disks")
        )
        why = tell("“quiesce” is for the disks alone") if wanted.quiesce and running and not obstacle else why
        raise OperationNotSupported(
            f"Its memory cannot be kept: {why}. Leave “include_memory” out.", capability="include_memory"
        )
    if EXTERNAL in has or obstacle:
        return Choice(EXTERNAL, memory=False)
    if not without_memory:
        return Choice(INTERNAL, memory=running)
    if INTERNAL in has:
        raise OperationNotSupported(
            "It has snapshots inside its disks; while it runs, further ones hold its memory too. Leave "
            "“quiesce” and “include_memory” out, stop it first, or delete those snapshots.",
            capability="include_memory",
        )
    if plain:
        raise OperationNotSupported("This node keeps no disks without memory.", capability="include_memory")
    return Choice(EXTERNAL, memory=False)


def _internal_obstacle(root: Element) -> str:
    """Why nothing can be kept inside its disks; empty when it can."""
    os_element = root.find("./os")
    if os_element is not None and (
        os_element.get("firmware") == "efi" or os_element.find("./loader[@type='pflash']") is not None
    ):
        return tell("its UEFI firmware keeps variables in a file that holds no snapshots")
    for disk in layers.own_disks(root):
        if disk.format != "qcow2":
            return tell(f"its disk {disk.target} is {disk.format or 'no file'}, which holds no snapshots")
    return ""


def _xml(wanted: SnapshotSpec) -> str:
    root = E.domainsnapshot(E.name(wanted.name), E.description(wanted.description))
    return str(etree.tostring(root, encoding="unicode"))


def _lookup(domain: libvirt.virDomain, name: str) -> libvirt.virDomainSnapshot:
    try:
        return domain.snapshotLookupByName(name, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
            raise SnapshotNotFound(f"There is no snapshot “{name}”.", snapshot=name) from error
        raise


def _found(infos: list[SnapshotInfo], name: str) -> SnapshotInfo:
    for item in infos:
        if item.name == name:
            return item
    raise SnapshotNotFound(f"There is no snapshot “{name}”.", snapshot=name)


def _infos(domain: libvirt.virDomain) -> list[SnapshotInfo]:
    found = [(item.isCurrent(0) == 1, parse(item.getXMLDesc(0))) for item in domain.listAllSnapshots(0)]
    kinds = {_kind(root) for _, root in found}
    running = bool(domain.isActive())
    now = [parse(domain.XMLDesc(flags)) for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE)] if found else []
    infos = [
        replace(
            _info(root, current, _obstacle(root, kinds, running=running)),
            brings_back=_brought_back(domain.connect(), root, now),
        )
        for current, root in found
    ]
    depth = {item.name: _depth(item, {other.name: other for other in infos}) for item in infos}
    return sorted(infos, key=lambda item: (item.created_at or _EPOCH, depth[item.name], item.name))


def _brought_back(conn: libvirt.virConnect, root: Element, now: list[Element]) -> tuple[BroughtBack, ...]:
    """Disks of their own kind stand upon what is there; only inside ones bring their whole definition."""
    if _kind(root) == EXTERNAL:
        return ()
    kept = [found for tag in ("domain", "inactiveDomain") if (found := root.find(f"./{tag}")) is not None]
    return tuple(dict.fromkeys(each for was in kept for each in brought_back(conn, was, now)))


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _depth(item: SnapshotInfo, by_name: dict[str, SnapshotInfo]) -> int:
    """Several may be of one second; a child still comes after its parent."""
    count, at = 0, item
    while at.parent in by_name and count < len(by_name):
        at, count = by_name[at.parent], count + 1
    return count


def _info(root: Element, current: bool, obstacle: str) -> SnapshotInfo:
    seconds = root.findtext("./creationTime") or ""
    memory, domain = root.find("./memory"), root.find("./domain")
    return SnapshotInfo(
        name=root.findtext("./name") or "",
        created_at=datetime.fromtimestamp(int(seconds), timezone.utc) if seconds.isdigit() else None,
        description=(root.findtext("./description") or "")[:1000],
        parent=root.findtext("./parent/name") or "",
        is_current=current,
        state=str(_STATES.get(root.findtext("./state") or "", InstanceState.STOPPED)),
        kind=_kind(root),
        has_memory=memory is not None and memory.get("snapshot") not in (None, "no"),
        no_restore=obstacle,
        cpu_cores=None if domain is None else float(vcpus_now(domain)),
        memory_bytes=None if domain is None else memory_bytes(domain, "currentMemory") or None,
    )


def _kind(root: Element) -> str:
    places = [item.get("snapshot") for item in root.iterfind("./disks/disk")]
    memory = root.find("./memory")
    places.append(memory.get("snapshot") if memory is not None else "")
    return EXTERNAL if EXTERNAL in places else INTERNAL


def _obstacle(root: Element, kinds: set[str], *, running: bool) -> str:
    """Why this one cannot be restored now; empty when it can."""
    if len(kinds) > 1:
        return "It has snapshots of two kinds, made outside LibGo: none of them can be restored safely."
    if _kind(root) == INTERNAL:
        return ""
    memory = root.find("./memory[@snapshot='external']")
    if memory is not None:
        return "Its memory lies in a file of its own, made outside LibGo; libvirt here cannot go back to it."
    return "Stop it first: its disks are exchanged for those of the snapshot." if running else ""
