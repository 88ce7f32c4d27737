"""One look at all storage of a host: pools, their volumes, what they stand on, and who uses them.

Formats are a matter of trust: libvirt guesses them from the content, and the content of a raw disk is
what its guest wrote. So the format that a domain's definition gives wins over the guess, and a chain
of backing files is followed only where the format is known to have one.

Source: https://libvirt.org/formatstorage.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import libvirt

from kvm.engine.domain_xml import Element, parse
from kvm.engine.domains import vanished_is_fine
from kvm.engine.storage import vanished_storage_is_fine

_CHAIN_MAX = 32
_POOL_STATES = {
    libvirt.VIR_STORAGE_POOL_INACTIVE: "inactive",
    libvirt.VIR_STORAGE_POOL_BUILDING: "building",
    libvirt.VIR_STORAGE_POOL_RUNNING: "running",
    libvirt.VIR_STORAGE_POOL_DEGRADED: "degraded",
    libvirt.VIR_STORAGE_POOL_INACCESSIBLE: "inaccessible",
}


@dataclass(frozen=True)
class DiskUse:
    """A domain that has the volume as one of its disks. ``format`` is what its definition says."""

    engine_id: str
    name: str
    target: str
    format: str
    is_active: bool
    is_readonly: bool


@dataclass
class Volume:
    """``format`` as far as it is known; ``backing_path`` is empty unless that format can have one."""

    pool: str
    name: str
    path: str
    type: str
    format: str
    capacity: int
    allocation: int
    backing_path: str = ""
    backing_format: str = ""
    uses: list[DiskUse] = field(default_factory=list)

    @property
    def engine_id(self) -> str:
        return f"{self.pool}/{self.name}"

    @property
    def writers(self) -> list[DiskUse]:
        return [use for use in self.uses if not use.is_readonly]


@dataclass(frozen=True)
class Pool:
    uuid: str
    name: str
    type: str
    state: str
    path: str
    source: dict[str, Any]
    capacity: int
    allocation: int
    available: int
    autostart: bool
    persistent: bool


@dataclass(frozen=True)
class Scan:
    """Volumes by path: only those of pools that run can be seen."""

    pools: list[Pool]
    volumes: dict[str, Volume]

    def chain(self, volume: Volume) -> list[Volume | str]:
        """What it stands on, nearest first; a path of the host that is in no pool stays a text."""
        found: list[Volume | str] = []
        seen, path = {volume.path}, volume.backing_path
        while path and path not in seen and len(found) < _CHAIN_MAX:
            seen.add(path)
            below = self.volumes.get(path)
            found.append(below if below is not None else path)
            path = below.backing_path if below is not None else ""
        return found

    def pools_under(self, volume: Volume) -> set[str]:
        """The pools without which it cannot be read."""
        below = [item.pool for item in self.chain(volume) if isinstance(item, Volume)]
        return {volume.pool, *below}

    def standing_on(self) -> dict[str, list[Volume]]:
        """By path: the volumes that have it somewhere under them."""
        found: dict[str, list[Volume]] = {}
        for volume in self.volumes.values():
            for below in self.chain(volume):
                if isinstance(below, Volume):
                    found.setdefault(below.path, []).append(volume)
        return found

    def of_pool(self, name: str) -> list[Volume]:
        return [volume for volume in self.volumes.values() if volume.pool == name]

    def find(self, pool: str, name: str) -> Volume | None:
        return next((item for item in self.of_pool(pool) if item.name == name), None)


def scan(conn: libvirt.virConnect) -> Scan:
    """Everything now; what vanishes while it is looked at is left out."""
    pools: list[Pool] = []
    volumes: dict[str, Volume] = {}
    for item in conn.listAllStoragePools(0):
        with vanished_storage_is_fine():
            pool = pool_read(item)
            pools.append(pool)
            if pool.state in ("running", "degraded"):
                for one in item.listAllVolumes(0):
                    with vanished_storage_is_fine():
                        volume = _volume_read(pool.name, one)
                        volumes[volume.path] = volume
    by_name = {volume.engine_id: volume for volume in volumes.values()}
    for key, use in disk_uses(conn):
        used = volumes.get(key) or by_name.get(key)
        if used is not None:
            used.uses.append(use)
            _format_told(used, use)
    found = Scan(sorted(pools, key=lambda pool: pool.name), volumes)
    for volume in [item for item in volumes.values() if item.writers]:
        _formats_below(volumes, volume)
    return found


def pool_read(item: libvirt.virStoragePool) -> Pool:
    root = parse(item.XMLDesc(0))
    state, capacity, allocation, available = item.info()
    return Pool(
        uuid=item.UUIDString(),
        name=item.name(),
        type=str(root.get("type", "")),
        state=_POOL_STATES.get(state, "unknown"),
        path=str(root.findtext("./target/path") or ""),
        source=_source(root.find("./source")),
        capacity=int(capacity),
        allocation=int(allocation),
        available=int(available),
        autostart=bool(item.autostart()),
        persistent=bool(item.isPersistent()),
    )


def disk_uses(conn: libvirt.virConnect) -> Iterator[tuple[str, DiskUse]]:
    """Every disk of every domain: its path, or ``pool/volume`` where the definition says that."""
    for domain in conn.listAllDomains(0):
        with vanished_is_fine():
            is_active, name, engine_id = bool(domain.isActive()), domain.name(), domain.UUIDString()
            texts = [domain.XMLDesc(0)]
            if is_active and domain.isPersistent():
                # What is only in the next start's definition counts as used, too.
                texts.append(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
            seen: set[tuple[str, str]] = set()
            for key, disk in (pair for text in texts for pair in _disks(text)):
                target = _attribute(disk, "./target", "dev")
                if (key, target) in seen:
                    continue
                seen.add((key, target))
                readonly = disk.find("./readonly") is not None or disk.get("device") == "cdrom"
                told = _attribute(disk, "./driver", "type")
                yield key, DiskUse(engine_id, name, target, told, is_active, readonly)


def _disks(text: str) -> Iterator[tuple[str, Element]]:
    for disk in parse(text).iterfind("./devices/disk"):
        source = disk.find("./source")
        if source is None:
            continue
        if disk.get("type") == "volume":
            yield f"{source.get('pool', '')}/{source.get('volume', '')}", disk
        for key in ("file", "dev"):
            if source.get(key):
                yield str(source.get(key)), disk


def _format_told(volume: Volume, use: DiskUse) -> None:
    """A writer's definition knows the format better than a guess from what its guest wrote."""
    if use.format and not use.is_readonly and use.format != volume.format:
        volume.format = use.format
        if use.format == "raw":
            volume.backing_path = volume.backing_format = ""


def _formats_below(volumes: dict[str, Volume], volume: Volume) -> None:
    """What lies under the disk of a machine is opened as the format that is noted above it."""
    seen = {volume.path}
    below = volumes.get(volume.backing_path)
    while below is not None and below.path not in seen and volume.backing_format:
        seen.add(below.path)
        if below.format != volume.backing_format:
            below.format = volume.backing_format
            if below.format == "raw":
                below.backing_path = below.backing_format = ""
        volume, below = below, volumes.get(below.backing_path)


def _volume_read(pool: str, item: libvirt.virStorageVol) -> Volume:
    root = parse(item.XMLDesc(0))
    _, capacity, allocation = item.info()
    return Volume(
        pool=pool,
        name=item.name(),
        path=item.path(),
        type=str(root.get("type", "file")),
        format=_attribute(root, "./target/format", "type") or "raw",
        capacity=int(capacity),
        allocation=int(allocation),
        backing_path=str(root.findtext("./backingStore/path") or ""),
        backing_format=_attribute(root, "./backingStore/format", "type"),
    )


def _source(root: Element | None) -> dict[str, Any]:
    """``host, dir, device, name, format``, as far as there are any; never what proves who we are."""
    if root is None:
        return {}
    found = {
        "host": _attribute(root, "./host", "name"),
        "dir": _attribute(root, "./dir", "path"),
        "device": _attribute(root, "./device", "path"),
        "name": root.findtext("./name") or "",
        "format": _attribute(root, "./format", "type"),
    }
    return {key: value for key, value in found.items() if value}


def _attribute(root: Element, path: str, name: str) -> str:
    found = root.find(path)
    return str(found.get(name, "")) if found is not None else ""
